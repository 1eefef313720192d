"""One line of a run: what was found on one picture, as JSON, and back."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lostreg.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lostreg.discovery import Discovery

_DECIMALS = 3
_LONGEST_SIDE = 2**31 - 1
"""The most that any format that is read can hold."""


@dataclass(frozen=True)
class RecordedObject:
    """One object of a record.

    Attributes:
        bbox_xyxy: continuous pixels of the recorded frame, ``0 <= x0 < x1 <= width``.
        score: in [0, 1].
        mask: COCO run-length encoding, ``{"size": [h, w], "counts": "..."}``, or ``None``.
        seed_xy: centre of the seed patch, or ``None``.
    """

    bbox_xyxy: tuple[float, float, float, float]
    score: float
    mask: dict[str, Any] | None = None
    seed_xy: tuple[float, float] | None = None


@dataclass(frozen=True)
class Record:
    """What was found on one picture.

    Attributes:
        key: names the picture within the run; unique, stable, ``/`` between folders.
        path: where it was read from.
        width: of the recorded frame, in pixels.
        height: likewise.
        orientation: the EXIF orientation of the file.
        objects: clearest method order kept; may be empty.
        grid_hw: patch rows and columns.
        settings: fingerprint of the settings it was found with.
        ms: milliseconds spent per stage.
        upright: whether the frame is that of the displayed picture; else it is the stored one.
    """

    key: str
    path: str
    width: int
    height: int
    orientation: int
    objects: tuple[RecordedObject, ...]
    grid_hw: tuple[int, int]
    settings: str
    ms: dict[str, float] = field(default_factory=dict)
    upright: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain values in the order of the published schema."""
        return {
            "key": self.key,
            "path": self.path,
            "width": self.width,
            "height": self.height,
            "orientation": self.orientation,
            "frame": "displayed" if self.upright else "stored",
            "objects": [
                {
                    "bbox_xyxy": list(each.bbox_xyxy),
                    "score": each.score,
                    "mask": each.mask,
                    "seed_xy": None if each.seed_xy is None else list(each.seed_xy),
                }
                for each in self.objects
            ],
            "grid_hw": list(self.grid_hw),
            "settings": self.settings,
            "ms": self.ms,
        }

    def to_line(self) -> str:
        """Return one line of JSON without its newline."""
        return json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, values: Any) -> Record:
        """Read what :meth:`to_json` wrote.

        Raises:
            RunError: a field is missing or of the wrong kind.
        """
        try:
            width, height = _side(values, "width"), _side(values, "height")
            return cls(
                key=str(values["key"]),
                path=str(values["path"]),
                width=width,
                height=height,
                orientation=int(values["orientation"]),
                objects=tuple(_object_from_json(each, (height, width)) for each in values["objects"]),
                grid_hw=(int(values["grid_hw"][0]), int(values["grid_hw"][1])),
                settings=str(values["settings"]),
                ms={str(stage): _finite(spent, "ms") for stage, spent in values.get("ms", {}).items()},
                upright=values.get("frame", "displayed") == "displayed",
            )
        except KeyError as error:
            raise RunError(f"A record lacks the field {error}.") from error
        except (AttributeError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise RunError(f"A record garbles a field: {error}.") from error


def _object_from_json(values: dict[str, Any], hw: tuple[int, int]) -> RecordedObject:
    x0, y0, x1, y1 = (_finite(edge, "bbox_xyxy") for edge in values["bbox_xyxy"])
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"bbox_xyxy must have a size, but it is {[x0, y0, x1, y1]}")
    seed, mask = values.get("seed_xy"), values.get("mask")
    if mask is not None and (tuple(mask["size"]) != hw or not isinstance(mask["counts"], str)):
        raise ValueError(f"mask must be run lengths of {hw[0]} x {hw[1]} pixels, but it is of size {mask['size']}")
    return RecordedObject(
        (x0, y0, x1, y1),
        _finite(values["score"], "score"),
        mask,
        None if seed is None else (_finite(seed[0], "seed_xy"), _finite(seed[1], "seed_xy")),
    )


def _side(values: Any, name: str) -> int:
    side = values[name]
    if not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= _LONGEST_SIDE:
        raise ValueError(f"{name} must be a whole number from 1 to {_LONGEST_SIDE}, but it is {side!r}")
    return side


def _finite(value: Any, name: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must hold finite numbers, but there is {number}")
    return number


def record_of(
    discovery: Discovery,
    *,
    key: str,
    path: str,
    settings: str,
    orientation: int = 1,
    upright: bool = True,
    ms: dict[str, float] | None = None,
) -> Record:
    """Make the record of a discovery."""
    width, height = discovery.frame.image_wh
    objects = tuple(
        RecordedObject(
            bbox_xyxy=_rounded(box),
            score=round(float(score), 4),
            mask=encode_mask(mask),
            seed_xy=None if seed is None else (round(seed[0], _DECIMALS), round(seed[1], _DECIMALS)),
        )
        for box, score, mask, seed in zip(
            discovery.boxes_xyxy, discovery.scores, discovery.masks, discovery.seeds_xy, strict=True
        )
    )
    return Record(key, path, width, height, orientation, objects, discovery.frame.grid_hw, settings, ms or {}, upright)


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask ``(height, width)`` as COCO's compressed run lengths, JSON-ready."""
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def decode_mask(encoded: dict[str, Any]) -> NDArray[np.bool_]:
    """Decode what :func:`encode_mask` made, ``(height, width)``.

    Raises:
        RunError: the run lengths are damaged.
    """
    from pycocotools import mask as coco_mask

    counts = encoded["counts"].encode("ascii", "replace")
    _run_lengths(counts, encoded["size"])
    return np.asarray(coco_mask.decode({"size": encoded["size"], "counts": counts}), dtype=np.bool_)


def mask_area(encoded: dict[str, Any]) -> int:
    """Return how many pixels a mask that :func:`encode_mask` made has.

    Raises:
        RunError: the run lengths are damaged.
    """
    return sum(_run_lengths(encoded["counts"].encode("ascii", "replace"), encoded["size"])[1::2])


def _run_lengths(counts: bytes, hw: list[int]) -> list[int]:
    """Return compressed run lengths, outside and inside in turn, or refuse those on which pycocotools would crash.

    Each number is written in groups of five bits, lowest first, with 0x20 for more to come and 0x10 of the last for its
    sign; from the fourth number on it is the difference from the last but one.
    """
    runs: list[int] = []
    number, shift = 0, 0
    for character in counts:
        group = character - 48
        number |= (group & 0x1F) << shift
        shift += 5
        if not 0 <= group < 64:
            break
        if not group & 0x20:
            number -= (1 << shift) if group & 0x10 else 0
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number, shift = 0, 0
    if shift or min(runs, default=-1) < 0 or sum(runs) != hw[0] * hw[1]:
        raise RunError(f"A mask's run lengths do not add up to its {hw[0]} x {hw[1]} pixels: the record is damaged.")
    return runs


def _rounded(box: NDArray[np.float64]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (round(float(edge), _DECIMALS) for edge in box)
    return x0, y0, x1, y1
