"""The settings of a discovery: frozen, comparable, and readable without torch.

``fingerprint`` names a set of settings in run folders and records: runs with equal fingerprints and equal
weights give equal boxes on the same kind of device.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from lostreg.errors import UsageError

Projection = Literal["k", "q", "v", "x"]
PROJECTIONS: tuple[Projection, ...] = get_args(Projection)
"""Keys, queries and values of a block's attention (heads joined), and its output tokens ``x``."""

Part = Literal["k", "q", "v", "x", "attention", "norms"]
PARTS: tuple[Part, ...] = get_args(Part)
"""All that can be asked of a forward: projections, ``attention`` of the tokens that are no patches on the patches, and
``norms`` of the patches' output tokens before the final LayerNorm, where outliers show."""

PadMode = Literal["none", "reflect", "resize"]
PAD_MODES: tuple[PadMode, ...] = get_args(PadMode)

Precision = Literal["auto", "fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Quality = Literal["fast", "best"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
"""The model's preset, and the fitted head that ships for it."""

EngineName = Literal["auto", "torch", "compiled", "openvino"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

DEFAULT_MAX_SIDE = 640
"""VOC (500) and COCO (640) stay native; a ViT's cost grows with the square of the area above it."""

MOST_OFFSET = 1e30
"""Beyond any similarity, and small enough that sums over all patches stay finite in fp32."""

MOST_OBJECTS = 10_000
"""More than any picture has."""


@dataclass(frozen=True)
class Offset:
    """How the patch similarity is moved before its sign is read.

    The registers paper (arXiv 2309.16588, sec. 3.3) adds a bias to the Gram matrix "because the output
    features may have different conditioning" and gives no value; each kind here is set per image and
    without a label.

    Attributes:
        kind: ``none``; ``mean`` subtracts the image's mean feature from every feature; ``scalar``
            subtracts ``value`` from every similarity; ``quantile`` subtracts the ``value``-quantile of the
            image's own off-diagonal similarities.
        value: the scalar, or the quantile in [0, 1].
    """

    kind: Literal["none", "mean", "scalar", "quantile"] = "none"
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Offset:
        """Read ``none``, ``mean``, a number, or ``q`` and a number in [0, 1], such as ``q0.5``.

        Raises:
            UsageError: anything else.

        Example:
            >>> Offset.parse("q0.5")
            Offset(kind='quantile', value=0.5)
        """
        if text == "none":
            return cls("none")
        if text == "mean":
            return cls("mean")
        value = _number(text.removeprefix("q"))
        if text.startswith("q") and 0 <= value <= 1:
            return cls("quantile", value)
        if not text.startswith("q") and abs(value) <= MOST_OFFSET:
            return cls("scalar", value)
        raise UsageError(
            f"--offset must be none, mean, a number up to {MOST_OFFSET:g}, or q and a number from 0 to 1 (q0.5), "
            f"but it is {text!r}."
        )

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        match self.kind:
            case "scalar":
                return f"{self.value!r}"
            case "quantile":
                return f"q{self.value!r}"
            case _:
                return self.kind


@dataclass(frozen=True)
class InputSettings:
    """How a photograph becomes the ViT's input; see :mod:`lostreg.preprocess`."""

    max_side: int | None = DEFAULT_MAX_SIDE
    pad: PadMode = "none"

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.max_side is not None and self.max_side < 1:
            raise UsageError(f"--max-side must be at least 1 pixel, but it is {self.max_side}.")
        _check_choice("--pad", self.pad, PAD_MODES)


@dataclass(frozen=True)
class MethodSettings:
    """How objects are found in the features of one photograph: the cheap step.

    Attributes:
        method: a name in :data:`lostreg.methods.METHODS`.
        feature: the projection whose similarities are read.
        offset: moves the similarities.
        k_patches: how many patches of lowest degree may join the seed: a count (``int``), or a share of all
            patches (``float`` in (0, 1]). The published value is 100, whatever the size of the grid.
        objects: how many objects to look for, or ``auto``.
        attention_head: which head DINO-seg reads; its published value is 4.
    """

    method: str = "lost"
    feature: Projection = "k"
    offset: Offset = Offset()
    k_patches: int | float = 100
    objects: int | Literal["auto"] = 1
    attention_head: int = 4

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        _check_choice("--feature", self.feature, PROJECTIONS)
        whole = isinstance(self.k_patches, int)
        if not (self.k_patches >= 1 if whole else 0 < self.k_patches <= 1):
            raise UsageError(
                "--k-patches must be a whole number from 1 or a fraction above 0 and up to 1.0, "
                f"but it is {self.k_patches}."
            )
        if self.objects != "auto" and not 1 <= self.objects <= MOST_OBJECTS:
            raise UsageError(
                f"--objects must be auto or a whole number from 1 to {MOST_OBJECTS}, but it is {self.objects}."
            )
        if self.attention_head < 0:
            raise UsageError(f"--attention-head must be 0 or more, but it is {self.attention_head}.")

    def count_patches(self, patches: int) -> int:
        """Return ``k_patches`` as a count among so many patches, at least 1."""
        if isinstance(self.k_patches, int):
            return min(self.k_patches, patches)
        return max(1, round(self.k_patches * patches))

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the offset as its text."""
        return {**asdict(self), "offset": str(self.offset)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MethodSettings:
        """Read what :meth:`to_json` wrote."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known} | {"offset": Offset.parse(values["offset"])})


def with_overrides(settings: MethodSettings, **overrides: Any) -> MethodSettings:
    """Return the settings with every override that is not ``None``; offsets may be given as text.

    Raises:
        UsageError: an unknown name or a value that makes no sense.
    """
    unknown = overrides.keys() - {f.name for f in fields(MethodSettings)}
    if unknown:
        raise UsageError(f"Unknown method setting {sorted(unknown)[0]!r}.")
    given = {name: value for name, value in overrides.items() if value is not None}
    if isinstance(given.get("offset"), str):
        given["offset"] = Offset.parse(given["offset"])
    return replace(settings, **given)


def parse_k_patches(text: str) -> int | float:
    """Read a count (``100``) or a fraction (``0.1``).

    Raises:
        UsageError: not a number.
    """
    value = _number(text)
    if not math.isfinite(value):
        raise UsageError(f"--k-patches must be a number, but it is {text!r}.")
    return int(text) if text.strip().lstrip("+-").isdigit() else value


def parse_objects(text: str) -> int | Literal["auto"]:
    """Read ``auto`` or a whole number.

    Raises:
        UsageError: anything else.
    """
    if text == "auto":
        return "auto"
    if not (text.isdecimal() and len(text) < 10):
        raise UsageError(f"--objects must be auto or a whole number from 1 to {MOST_OBJECTS}, but it is {text!r}.")
    return int(text)


def fingerprint(*parts: Any) -> str:
    """Return 12 hexadecimal digits that name JSON-ready values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{option} must be one of {', '.join(choices)}, but it is {value!r}.")
