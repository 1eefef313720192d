"""Patch features averaged over shifted and flipped views: the denoised teacher of PH-Reg.

What a ViT adds to a patch because of where it stands stays in place when the picture moves; what it says about
the picture moves along. Chen et al. ("Vision Transformers with Self-Distilled Registers", NeurIPS 2025,
arXiv 2505.21501, Alg. 1) therefore move the picture by whole patches, map every view's patches back by the known
permutation and take their mean. It costs one forward per view. What lies outside the picture is white.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from lostreg.features import Features
from lostreg.preprocess import InputSpec

MAX_SHIFT = 0.15
"""Of the grid's rows and columns, rounded down to whole patches: the paper's best of 0, 10, 15 and 20 %."""

MOST_VIEWS = 1000
"""A hundred times what pays."""

_CANDIDATES_PER_VIEW = 10

Extract = Callable[[torch.Tensor], list[Features]]


@dataclass(frozen=True)
class View:
    """A picture moved by whole patches, then perhaps mirrored.

    Attributes:
        down: rows of patches that the picture is moved down; negative is up.
        right: columns of patches that it is moved to the right; negative is left.
        mirrored: whether left and right are then swapped.
    """

    down: int = 0
    right: int = 0
    mirrored: bool = False


def choose_views(grid_hw: tuple[int, int], count: int, seed: int = 0) -> list[View]:
    """Choose views that lie far apart: farthest-point sampling among ten times as many random shifts.

    Args:
        grid_hw: rows and columns of patches; small grids have few shifts, so that views may repeat.
        count: how many views, at least 1. The first is the picture itself.
        seed: of the shifts and of which views are mirrored.
    """
    draw = torch.Generator().manual_seed(seed)
    reach = [int(MAX_SHIFT * side) for side in grid_hw]
    shape = (_CANDIDATES_PER_VIEW * count,)
    shifts = torch.stack([torch.randint(-most, most + 1, shape, generator=draw) for most in reach], dim=1)
    shifts[0] = 0
    mirrored = torch.randint(0, 2, (count,), generator=draw).bool().tolist()
    chosen = [0]
    distances = (shifts - shifts[0]).square().sum(dim=1)
    while len(chosen) < count:
        farthest = int(distances.argmax())
        chosen.append(farthest)
        distances = torch.minimum(distances, (shifts - shifts[farthest]).square().sum(dim=1))
    mirrored[0] = False
    return [View(down, right, swap) for (down, right), swap in zip(shifts[chosen].tolist(), mirrored, strict=True)]


def move(inputs: torch.Tensor, view: View, spec: InputSpec) -> torch.Tensor:
    """Return the pictures as a view shows them.

    Args:
        inputs: ``(B, 3, H, W)`` ``float32``, normalised, ``H`` and ``W`` multiples of the patch size.
        view: how to move them.
        spec: patch size, and the normalisation that says what is white.
    """
    white = torch.tensor([(1 - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True)])
    moved = white.to(inputs).view(1, 3, 1, 1).expand_as(inputs).clone()
    (to_rows, from_rows), (to_columns, from_columns) = (
        _overlap(shift * spec.patch_size, size)
        for shift, size in zip((view.down, view.right), inputs.shape[2:], strict=True)
    )
    moved[:, :, to_rows, to_columns] = inputs[:, :, from_rows, from_columns]
    return moved.flip(-1) if view.mirrored else moved


def patches_shown(grid_hw: tuple[int, int], view: View) -> torch.Tensor:
    """Return for each patch of a view which patch of the picture it shows, ``(N,)``; -1 outside the picture."""
    rows, columns = grid_hw
    numbers = torch.arange(rows * columns).view(rows, columns)
    shown = torch.full_like(numbers, -1)
    (to_rows, from_rows), (to_columns, from_columns) = _overlap(view.down, rows), _overlap(view.right, columns)
    shown[to_rows, to_columns] = numbers[from_rows, from_columns]
    return (shown.flip(-1) if view.mirrored else shown).flatten()


def extract_over_views(
    extract: Extract, inputs: torch.Tensor, views: Sequence[View], spec: InputSpec
) -> list[Features]:
    """Extract from each view, put the patches back to their places and average what was seen of each.

    Args:
        extract: one forward: inputs ``(B, 3, H, W)`` to the features of each picture.
        inputs: the pictures, all of one grid.
        views: what to look at; the picture itself must be among them, so that every patch is seen.
        spec: of the model.

    Returns:
        One :class:`Features` per picture; a mean of attention rows need not sum to what one row does.
    """
    grid_hw = inputs.shape[2] // spec.patch_size, inputs.shape[3] // spec.patch_size
    hits = torch.zeros(grid_hw[0] * grid_hw[1])
    total: list[Features] = []
    for view in views:
        shown = patches_shown(grid_hw, view)
        hits[shown[shown >= 0]] += 1
        seen = [_over_patches(_put_back(shown), one) for one in extract(move(inputs, view, spec))]
        total = [_over_patches(torch.add, *pair) for pair in zip(total, seen, strict=True)] if total else seen
    return [_over_patches(_divide_by(hits), one) for one in total]


def _over_patches(function: Callable[..., torch.Tensor], *features: Features) -> Features:
    """Apply a function to the features' tensors, each with its patches first, ``(N, ...)``."""
    first = features[0]
    tokens = {name: function(*(each.tokens[name] for each in features)) for name in first.tokens}
    maps = [each.attention.movedim(-1, 0) for each in features if each.attention is not None]
    norms = [each.norms for each in features if each.norms is not None]
    return replace(
        first,
        tokens=tokens,
        attention=function(*maps).movedim(0, -1) if maps else None,
        norms=function(*norms) if norms else None,
    )


def _put_back(shown: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function that gives each row to the patch it shows, and zeros to the patches not seen."""

    def put_back(values: torch.Tensor) -> torch.Tensor:
        seen = (shown >= 0).nonzero()[:, 0].to(values.device)
        return torch.zeros_like(values).index_copy_(0, shown.to(values.device)[seen], values[seen])

    return put_back


def _divide_by(hits: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda values: values / hits.to(values.device).view(-1, *[1] * (values.ndim - 1))


def _overlap(shift: int, size: int) -> tuple[slice, slice]:
    """Return where content moved by ``shift`` lands on an axis, and where it comes from."""
    return slice(max(0, shift), size + min(0, shift)), slice(max(0, -shift), size - max(0, shift))
