"""The one object behind the command line, the demo and the evaluation.

``extract`` is heavy: one ViT forward. ``discover`` is cheap: graph, seed, expansion; call it again for every
other setting::

    from lostreg import Discoverer

    discoverer = Discoverer(model="dinov2-s14-imgfocus")
    features = discoverer.extract("photo.jpg")
    discovery = discoverer.discover(features, objects=3)
    discovery.boxes_xyxy, discovery.masks, discovery.scores, discovery.maps
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from lostreg.backbone import Backbone, check_architecture, load_backbone
from lostreg.devices import choose_device
from lostreg.discovery import Discovery, on_photograph
from lostreg.engines import Engine, choose_engine, make_engine
from lostreg.errors import UsageError
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.heads import Head, read_head, shipped_head
from lostreg.images import ImageLike, Photograph, as_photograph
from lostreg.looks import LOOKS, extract_looks
from lostreg.methods import get_method
from lostreg.methods.fitted import NAME as FITTED
from lostreg.objects import find_objects
from lostreg.preprocess import prepare
from lostreg.presets import PRESETS
from lostreg.registers.choice import RegisterChoice
from lostreg.registers.plan import RegisterPlan, plan_registers
from lostreg.registers.views import MOST_VIEWS, choose_views, extract_over_views
from lostreg.settings import (
    DEFAULT_MAX_SIDE,
    PARTS,
    QUALITIES,
    EngineName,
    InputSettings,
    MethodSettings,
    PadMode,
    Part,
    Precision,
    Quality,
    with_overrides,
)
from lostreg.weights import Weights, find_entry, resolve


class Discoverer:
    """Finds objects in photographs with one model.

    Args:
        model: a short name, or any timm id, optionally ``@REVISION``; ``None`` takes the default model.
        checkpoint: a local file of weights instead of the published ones.
        layer: the block whose features are read, negative from the end.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: of the ViT; ``auto`` is fp32. The graph is fp32 always.
        engine: what runs the ViT, see :mod:`lostreg.engines`; ``auto`` is OpenVINO on a CPU where it is installed and
            gives what PyTorch gives, else PyTorch.
        max_side: longest side the ViT sees; ``None`` keeps native size.
        pad: how the input reaches a multiple of the patch size.
        registers: ``native``, ``none``, ``test-time``, ``test-time:LIST.json`` or an adapter's ``FILE.safetensors``,
            see :class:`~lostreg.registers.choice.RegisterChoice`; ``None`` runs the model as it is.
        views: average the features over so many shifted and flipped views (:mod:`lostreg.registers.views`), each
            of which costs a forward; 1 is the picture alone.
        looks: how often the method ``fitted`` looks at a picture, its votes pooled: the first so many of
            :data:`lostreg.looks.LOOKS`, each of which costs a forward.
        head: a file of ``lostreg fit``, read by the method ``fitted``, which it makes the default.
        quality: ``best`` is the method ``fitted`` with the head that ships for the model; ``fast`` the model's preset.
        overrides: fields of :class:`~lostreg.settings.MethodSettings` that differ from the model's preset.

    Attributes:
        weights: the resolved weights: model entry, file, source, sha256.
        registers: what was done to the ViT's registers.
        engine: runs the ViT, and knows the effective precision.
        engine_note: where ``auto`` did not take the quickest engine, why.
        backbone: the ViT.
        settings: the effective method settings, preset and overrides together.
        head_file: the head that was given, if one was.

    Raises:
        ModelError: unknown model, one without patch keys or the registers asked for, or one that the head was not
            fitted on.
        WeightsError: its weights cannot be had, or the file of the registers or of the head is damaged.
        UsageError: a setting makes no sense.
    """

    head_file: Path | None = None
    engine_note: str | None = None
    _head: Head | None = None

    def __init__(
        self,
        model: str | None = None,
        *,
        checkpoint: str | Path | None = None,
        layer: int = -1,
        device: str = "auto",
        precision: Precision = "auto",
        max_side: int | None = DEFAULT_MAX_SIDE,
        pad: PadMode = "none",
        registers: str | None = None,
        views: int = 1,
        looks: int = 1,
        head: str | Path | None = None,
        quality: Quality | None = None,
        engine: EngineName = "auto",
        **overrides: Any,
    ) -> None:
        """Resolve the weights and build the ViT; everything that can be refused is refused here."""
        self.input_settings = InputSettings(max_side, pad)
        self.layer = layer
        choice = None if registers is None else RegisterChoice.parse(registers)
        if not 1 <= views <= MOST_VIEWS:
            raise UsageError(f"--views must be from 1 to {MOST_VIEWS}, but it is {views}.")
        self.views = views
        target = choose_device(device)
        self.engine: Engine = make_engine(engine, precision, target)
        overrides["method"] = choose_method(overrides.get("method"), head is not None, quality)
        get_method(with_overrides(MethodSettings(), **overrides).method)  # nonsense, before the weights are fetched
        if head is not None:
            self.head_file = Path(head)
            self._head = read_head(self.head_file)
        if model is not None:
            check_architecture(find_entry(model)[0])
        self.weights: Weights = resolve(model, Path(checkpoint) if checkpoint else None)
        self.settings = with_overrides(PRESETS[self.weights.entry.family].settings, **overrides)
        self.looks = check_looks(looks, views, self.settings.method)
        self.precision: Precision = self.engine.precision
        self.registers: RegisterPlan = plan_registers(choice, self.weights)
        self.backbone: Backbone = load_backbone(
            self.weights.entry, self.weights.path, target, self.precision, self.registers.change, self.engine
        )
        if (self._head is not None or self.settings.method == FITTED) and not self.fitted_head().votes and looks > 1:
            raise UsageError("--looks pools votes, which a logistic head does not cast; leave out --looks.")
        if engine == "auto" and target.type == "cpu":
            self._choose_engine()

    def _choose_engine(self) -> None:
        """Take the quickest engine that gives what PyTorch gives on this machine."""
        vit, parts = self.backbone, self.needs(self.settings)
        if parts:
            view = vit.view(vit.block_index(self.layer), parts)
            self.engine, self.engine_note = choose_engine(view, vit.spec.patch_size, self.engine)
            vit.engine = self.engine

    def fitted_head(self) -> Head:
        """Return the head that the method ``fitted`` reads: the one given, else the one that ships for the model.

        Raises:
            ModelError: none was given and none ships, or it was fitted on another ViT.
        """
        name, sha256 = self.weights.entry.name, self.weights.sha256
        head = self._head or shipped_head(name, sha256)
        head.check_fits(name, sha256, self.backbone.block_index(self.layer), self.registers.identity)
        self._head = head
        return head

    def extract(self, image: ImageLike, parts: frozenset[Part] | set[Part] | None = None) -> Features:
        """Run the ViT on one photograph: the heavy step.

        Args:
            image: a path, encoded bytes, ``(height, width, 3)`` ``uint8`` RGB, or a Pillow image.
            parts: what to keep of the forward, of ``k q v x attention norms``; ``None`` keeps what the method needs.

        Raises:
            ImageError: the picture cannot be read.
        """
        tensor, frame = self.prepare(as_photograph(image, needed_side=self.input_settings.max_side))
        return self.extract_batch(tensor[None], [frame], parts)[0]

    def prepare(self, photograph: Photograph) -> tuple[torch.Tensor, Frame]:
        """Turn a decoded photograph into the ViT's input ``(3, H, W)`` and its frame; see ``preprocess``."""
        return prepare(photograph, self.backbone.spec, self.input_settings)

    def extract_batch(
        self, inputs: torch.Tensor, frames: list[Frame], parts: frozenset[Part] | set[Part] | None = None
    ) -> list[Features]:
        """Run the ViT on prepared inputs of one size, ``(B, 3, H, W)``."""
        wanted = self.needs(self.settings) if parts is None else frozenset(parts)
        if unknown := sorted(wanted - set(PARTS)):
            raise UsageError(f"parts must be among {', '.join(PARTS)}, but there is {unknown[0]!r}.")

        def extract(shown: torch.Tensor, of: list[Frame]) -> list[Features]:
            return self.backbone.extract(shown, of, wanted, self.layer)

        spec = self.backbone.spec
        if self.looks > 1:
            return extract_looks(extract, inputs, frames, LOOKS[: self.looks], spec, self.input_settings.pad)
        if self.views > 1:
            views = choose_views(frames[0].grid_hw, self.views)
            return extract_over_views(lambda moved: extract(moved, frames), inputs, views, spec)
        return extract(inputs, frames)

    def discover(self, features: Features, **overrides: Any) -> Discovery:
        """Find objects in extracted features: the cheap step.

        Args:
            features: from :meth:`extract`.
            overrides: fields of :class:`~lostreg.settings.MethodSettings` for this call only.

        Raises:
            FeatureError: the features lack what the method needs, or are not finite.
            UsageError: a setting makes no sense.
            ModelError: the method is ``fitted``, and there is no head for the model.
        """
        settings = with_overrides(self.settings, **overrides)
        if settings.method == FITTED:
            features = self.fitted_head().attach(features)
        return on_photograph(find_objects(features, settings), features.frame, settings)

    def __call__(self, image: ImageLike, **overrides: Any) -> Discovery:
        """Extract and discover in one go."""
        settings = with_overrides(self.settings, **overrides)
        return self.discover(self.extract(image, self.needs(settings)), **overrides)

    def identity(self, settings: MethodSettings | None = None, *, upright: bool = True) -> dict[str, Any]:
        """Return what boxes depend on, JSON-ready: weights, registers, input rule, engine, precision, looks, method.

        Args:
            settings: of the method; ``None`` for the discoverer's own.
            upright: whether pictures are decoded into the displayed frame; else into the stored one.
        """
        changed = {} if self.registers.identity is None else {"registers": self.registers.identity}
        effective = settings or self.settings
        head = {"head_sha256": self.fitted_head().sha256} if effective.method == FITTED else {}
        looks = {"looks": self.looks} if self.looks > 1 else {}
        return {
            "model": self.weights.entry.name,
            "weights_sha256": self.weights.sha256,
            **changed,
            "layer": self.layer,
            "engine": self.engine.name,
            "precision": self.precision,
            "max_side": self.input_settings.max_side,
            "pad": self.input_settings.pad,
            "views": self.views,
            **looks,
            "frame": "displayed" if upright else "stored",
            **effective.to_json(),
            **head,
        }

    def with_engine(
        self,
        engine: EngineName,
        precision: Precision = "auto",
        lanes: int = 1,
        grids: Collection[tuple[int, int]] = (),
    ) -> Discoverer:
        """Return the same model run by another engine, or by one set up for many pictures; weights are shared.

        Args:
            engine: its name.
            precision: of the forward.
            lanes: how many forwards share the cores, see :func:`lostreg.engines.lanes_for_many`.
            grids: what most pictures are laid on, see :mod:`lostreg.grids`.

        Raises:
            UsageError: the engine or the precision cannot be had here.
        """
        other = copy.copy(self)
        vit = self.backbone
        other.engine = make_engine(engine, precision, vit.device, lanes, grids)
        other.precision = other.engine.precision
        other.backbone = Backbone(vit.entry, vit.model, vit.device, other.precision, other.engine)
        return other

    @staticmethod
    def needs(settings: MethodSettings) -> frozenset[Part]:
        """Return the parts of a forward that a method reads."""
        return get_method(settings.method).needs(settings)


def choose_method(method: str | None, has_head: bool, quality: Quality | None) -> str | None:
    """Return the method that a method, a head and a quality ask for together; ``None`` for the model's preset.

    Raises:
        UsageError: they contradict each other, or the quality is unknown.
    """
    if quality not in (None, *QUALITIES):
        raise UsageError(f"--quality must be one of {', '.join(QUALITIES)}, but it is {quality!r}.")
    if quality is not None and (method is not None or has_head):
        raise UsageError("--quality chooses method and head itself; leave out --method and --head, or --quality.")
    if has_head and method not in (None, FITTED):
        raise UsageError(f"--head is read by --method {FITTED} alone, but the method is {method}; leave out one.")
    return FITTED if has_head or quality == "best" else method


def check_looks(looks: int, views: int, method: str) -> int:
    """Return how often a picture is looked at, if a method can make use of that.

    Raises:
        UsageError: not as many as there are, not for this method, or together with averaged views.
    """
    if not 1 <= looks <= len(LOOKS):
        raise UsageError(f"--looks must be from 1 to {len(LOOKS)}, but it is {looks}.")
    if looks > 1 and method != FITTED:
        raise UsageError(
            f"--looks {looks} pools the votes of a fitted head, which the method {method} has not; "
            f"use --quality best or --method {FITTED}, or leave out --looks."
        )
    if looks > 1 and views > 1:
        raise UsageError("--looks pools votes and --views averages features; give one of the two.")
    return looks
