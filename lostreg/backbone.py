"""Any plain timm ViT as a source of patch features, doing only the work that is asked for.

The block that is read is replaced by a *tap* (:mod:`lostreg.tap`), and the blocks behind it are left out, so
that for the keys of the last block the forward ends at its key projection. Nothing is hooked and nothing is
left behind on the model: each request runs on a shallow view that shares the weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lostreg.catalogue import ModelEntry
from lostreg.engines import Engine, TorchEngine
from lostreg.errors import ModelError, UsageError, WeightsError
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.pos_embed import use_dino_pos_embed
from lostreg.preprocess import InputSpec
from lostreg.settings import Part, Precision, Projection
from lostreg.tap import check_block, tapped
from lostreg.weights.checkpoint import StateDict, read_state_dict


class Backbone:
    """A Vision Transformer that turns a batch of equal-sized inputs into patch features.

    Attributes:
        entry: the catalogue's entry.
        spec: patch size and normalisation.
        engine: runs it, and says in which precision.
        prefix_tokens: how many tokens (CLS and trained registers) stand before the patches.
        suffix_tokens: how many tokens (a test-time register) stand behind them.
        registers: how many of both are registers.
        depth: number of blocks.
    """

    def __init__(
        self,
        entry: ModelEntry,
        model: nn.Module,
        device: torch.device,
        precision: Precision,
        engine: Engine | None = None,
    ) -> None:
        """Take a timm model with its weights already loaded; see :func:`load_backbone`."""
        self.entry = entry
        self.device = device
        self.precision = precision
        self.engine: Engine = engine or TorchEngine(device, precision)
        vit: Any = model.eval().requires_grad_(False).to(device)
        self.model = vit
        self.prefix_tokens: int = vit.num_prefix_tokens
        self.suffix_tokens: int = getattr(vit, "num_suffix_tokens", 0)
        self.registers = count_registers(vit) + self.suffix_tokens
        self.class_token: bool = getattr(vit, "cls_token", None) is not None
        self.depth = len(vit.blocks)
        config = vit.pretrained_cfg
        self.spec = InputSpec(vit.patch_embed.patch_size[0], tuple(config["mean"]), tuple(config["std"]))
        self._views: dict[tuple[int, frozenset[Part]], nn.Module] = {}

    def extract(
        self, inputs: torch.Tensor, frames: list[Frame], parts: frozenset[Part], layer: int = -1
    ) -> list[Features]:
        """Run the ViT on a batch.

        Args:
            inputs: ``(B, 3, H, W)`` ``float32``, ``H`` and ``W`` multiples of the patch size.
            frames: one per image; all have the same grid.
            parts: what to read of the block; nothing else is computed.
            layer: which block, from 0, or from the end if negative.

        Returns:
            One :class:`Features` per image, ``float32``, on the backbone's device.

        Raises:
            UsageError: no such block.
        """
        outputs = self._run(inputs, parts, self.block_index(layer)) if parts else {}
        rows, columns = frames[0].grid_hw
        patches = slice(self.prefix_tokens, self.prefix_tokens + rows * columns)
        attention, norms = outputs.pop("attention", None), outputs.pop("norms", None)
        tokens: dict[Projection, torch.Tensor] = {
            name: values[:, patches].float()  # type: ignore[misc]
            for name, values in outputs.items()
        }
        return [
            Features(
                frame,
                {name: values[i] for name, values in tokens.items()},
                None if attention is None else attention[i].float()[..., patches],
                self.class_token,
                norms=None if norms is None else norms[i, patches],
            )
            for i, frame in enumerate(frames)
        ]

    def _run(self, inputs: torch.Tensor, parts: frozenset[Part], layer: int) -> dict[Part, torch.Tensor]:
        return self.engine.run(self.view(layer, parts), inputs)

    def block_index(self, layer: int) -> int:
        """Return a block's number counted from 0.

        Raises:
            UsageError: no such block.
        """
        if not -self.depth <= layer < self.depth:
            raise UsageError(
                f"--layer must be from {-self.depth} to {self.depth - 1} for {self.entry.name}, but it is {layer}."
            )
        return layer % self.depth

    def view(self, layer: int, parts: frozenset[Part]) -> nn.Module:
        """Return the model cut off behind block ``layer``, from 0, which only yields ``parts``; weights are shared."""
        key = (layer, parts)
        if key not in self._views:
            self._views[key] = tapped(self.model, layer, parts, self.prefix_tokens, self.suffix_tokens)
        return self._views[key]


def load_backbone(
    entry: ModelEntry,
    weights: Path,
    device: torch.device,
    precision: Precision,
    change: Callable[[nn.Module], nn.Module] | None = None,
    engine: Engine | None = None,
) -> Backbone:
    """Build a model and load a file of weights into it, every tensor accounted for.

    Args:
        entry: the catalogue's entry.
        weights: the file.
        device: where it runs.
        precision: of its forward.
        change: what is done to the loaded timm model before it is used, such as adding registers.
        engine: runs it, at that precision; ``None`` for PyTorch.

    Raises:
        ModelError: not a plain timm ViT.
        WeightsError: the file is damaged or belongs to another model.
    """
    model = build_model(entry)
    load_weights(model, entry, read_state_dict(weights), weights.name)
    return Backbone(entry, model if change is None else change(model), device, precision, engine)


def count_registers(model: nn.Module) -> int:
    """Return how many registers a timm ViT was trained with."""
    registers = getattr(model, "reg_token", None)
    return 0 if registers is None else registers.shape[1]


def build_model(entry: ModelEntry) -> nn.Module:
    """Build a timm model without weights that takes inputs of any size.

    Raises:
        ModelError: not a plain ViT: no sequence of blocks whose attention has keys.
    """
    import timm

    try:
        model: nn.Module = timm.create_model(entry.timm_id, pretrained=False, num_classes=0, dynamic_img_size=True)
    except TypeError as error:  # how timm says that an architecture knows no such argument
        raise ModelError(
            f"{entry.name} is not a plain Vision Transformer (timm cannot run it at any image size), so it has "
            "no patch keys to read; choose one of `lostreg models list`."
        ) from error
    check_block(model, entry.name)
    if entry.dino_pos_embed:
        use_dino_pos_embed(model)
    return model


def check_architecture(entry: ModelEntry) -> None:
    """Refuse a model that has no patch keys, before its weights are fetched; nothing is allocated.

    Raises:
        ModelError: not a plain ViT.
    """
    with torch.device("meta"):
        build_model(entry)


def load_weights(model: nn.Module, entry: ModelEntry, state: StateDict, filename: str) -> None:
    """Load a state dict, converting published layouts as timm does; heads that are not used may be left over.

    Raises:
        WeightsError: tensors are missing, left over, or of another shape.
    """
    import timm

    module = importlib.import_module(timm.models.model_entrypoint(entry.timm_id.split(".")[0]).__module__)
    convert = getattr(module, "checkpoint_filter_fn", None)
    foreign = f"{filename} does not hold the weights of {entry.name}"
    try:
        converted = convert(state, model) if convert else state
        missing, unexpected = model.load_state_dict(converted, strict=False)
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        lines = str(error).strip().splitlines()
        cause = lines[-1].strip().rstrip(".") if lines else type(error).__name__
        raise WeightsError(f"{foreign}: {cause}.") from error
    left_over = [name for name in unexpected if not name.startswith(("head", "fc_norm", "mask_token"))]
    if missing or left_over:
        named = [f"{missing[0]} is missing"] if missing else []
        named += [f"{left_over[0]} is left over"] if left_over else []
        raise WeightsError(f"{foreign}: {' and '.join(named)} ({len(missing)} missing, {len(left_over)} left over).")
