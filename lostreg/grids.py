"""Which grids of patches most of many pictures will be laid on, read off their headers.

An engine may run a grid that it knows beforehand quicker (:func:`lostreg.engines.most_own_grids`) but
then gives other last digits. So which grids those are hangs on the pictures that a run is given and on nothing else,
not on what an earlier call has done or which shard this is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lostreg.images import read_size
from lostreg.preprocess import InputSpec, frame_of
from lostreg.settings import InputSettings
from lostreg.sources import ImageItem

WORTH_A_MODEL = 200
"""Pictures of one grid from which on it pays to compile a model for it."""

_SAMPLE = 1000


def common_grids(
    items: Sequence[ImageItem], spec: InputSpec, settings: InputSettings, *, upright: bool, most: int
) -> list[tuple[int, int]]:
    """Return the rows and columns of patches that are common enough among pictures, the most common first.

    Args:
        items: the pictures, of which up to 1,000, evenly spread, are looked at; only files count.
        spec: of the model.
        settings: how pictures become inputs.
        upright: whether they are decoded into the displayed frame.
        most: grids at the most, see :func:`lostreg.engines.most_own_grids`.
    """
    if len(items) < WORTH_A_MODEL or most == 0:
        return []
    sample = [items[n * len(items) // _SAMPLE] for n in range(_SAMPLE)] if len(items) > _SAMPLE else items
    sizes = [read_size(item.content, upright=upright) for item in sample if isinstance(item.content, Path)]
    seen = Counter(frame_of(wh, spec, settings).grid_hw for wh in sizes if wh is not None)
    least = WORTH_A_MODEL * len(sample) / len(items)
    ordered = sorted(seen.items(), key=lambda each: (-each[1], each[0]))
    return [grid_hw for grid_hw, count in ordered[:most] if count >= least]
