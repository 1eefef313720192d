"""Further looks at the same photograph, whose votes a fitted head can pool: mirrored, larger, smaller.

What a head says of a photograph changes when that is mirrored or scaled by less than two, though its objects do not;
what all looks agree on is said of the objects. Test-time augmentation is as old as deep classifiers (Krizhevsky et al.,
NeurIPS 2012, sec. 4.1); as in detection, boxes are pooled and not features, since the patches of looks of different
size share no grid. A look costs a forward, dearer than in proportion to its area.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import interpolate

from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.preprocess import InputSpec, pad_to_grid, scaled_side
from lostreg.settings import PadMode

Extract = Callable[[torch.Tensor, list[Frame]], list[Features]]


@dataclass(frozen=True)
class Look:
    """How the ViT is shown a photograph once more.

    Attributes:
        scale: of its sides, against the first look.
        mirrored: whether left and right are swapped.
    """

    scale: float = 1.0
    mirrored: bool = False


LOOKS = (Look(), Look(mirrored=True), Look(1.25), Look(1.5), Look(0.75))
"""In the order in which they are taken. Together they show the ViT 6.4 times the pixels of the first alone."""


def look_again(
    content: torch.Tensor, frame: Frame, look: Look, spec: InputSpec, pad: PadMode
) -> tuple[torch.Tensor, Frame]:
    """Return what another look shows the ViT.

    Args:
        content: ``(3, H, W)``, the input of the first look.
        frame: its frame.
        look: the other look.
        spec: patch size of the model.
        pad: how the input reaches a multiple of the patch size.

    Returns:
        The input ``(3, H', W')``, its picture resized by antialiased bicubic interpolation, and its frame.
    """
    (width, height), patch = frame.content_wh, spec.patch_size
    multiple = patch if pad == "resize" else 1
    wide, high = (scaled_side(side, look.scale, multiple) for side in (width, height))
    seen = content[:, :height, :width]
    if (wide, high) != (width, height):
        seen = interpolate(seen[None], (high, wide), mode="bicubic", antialias=True)[0]
    if look.mirrored:
        seen = seen.flip(-1)
    other = replace(
        frame, content_wh=(wide, high), grid_hw=(-(-high // patch), -(-wide // patch)), mirrored=look.mirrored
    )
    return pad_to_grid(seen, other, reflect=pad == "reflect"), other


def extract_looks(
    extract: Extract, inputs: torch.Tensor, frames: list[Frame], looks: Sequence[Look], spec: InputSpec, pad: PadMode
) -> list[Features]:
    """Extract from several looks, inputs of equal size together.

    Args:
        extract: one forward: inputs ``(B, 3, H, W)`` and their frames to the features of each.
        inputs: the first look at each picture, all of one size.
        frames: theirs.
        looks: what to look at; the first is :class:`Look` ``()``.
        spec: of the model.
        pad: as for the first look.

    Returns:
        The features of the first look at each picture, those of the others in ``looks``.
    """
    others: list[list[Features]] = [[] for _ in frames]
    for look in looks[1:]:
        shown = [look_again(each, frame, look, spec, pad) for each, frame in zip(inputs, frames, strict=True)]
        for indices in _by_size([tensor for tensor, _ in shown]):
            tensors, of = torch.stack([shown[i][0] for i in indices]), [shown[i][1] for i in indices]
            for i, features in zip(indices, extract(tensors, of), strict=True):
                others[i].append(features)
    first = extract(inputs, frames)
    return [replace(features, looks=tuple(seen)) for features, seen in zip(first, others, strict=True)]


def _by_size(tensors: Sequence[torch.Tensor]) -> list[list[int]]:
    """Return the places of tensors of equal size together."""
    places: dict[torch.Size, list[int]] = defaultdict(list)
    for i, tensor in enumerate(tensors):
        places[tensor.shape].append(i)
    return list(places.values())
