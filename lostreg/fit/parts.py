"""Which pictures a fit uses for what: enough of them, some held out, a share learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lostreg.errors import UsageError
from lostreg.fit.cache import Picture

MIN_PICTURES = 10
"""Fewer distinct pictures than this are refused: a head of them would only know them by heart."""

HELD_OUT_SHARE = 20
"""One of so many photographs and composites is held out, at most 100 of each."""

_MOST_HELD_OUT = 100


def check_enough(pictures: Sequence[Picture]) -> None:
    """Refuse to fit on too little.

    Raises:
        UsageError: fewer than :data:`MIN_PICTURES` distinct pictures, or none in which something stands out.
    """
    if len(pictures) < MIN_PICTURES:
        raise UsageError(
            f"A head needs at least {MIN_PICTURES} distinct pictures, but there are {len(pictures)}; "
            "for so few use `lostreg discover`, which needs no fit."
        )
    if not any(bool(picture.mask.any()) for picture in pictures):
        raise UsageError(
            f"Nothing stands out in any of these {len(pictures)} pictures, so there is nothing to fit a head on."
        )


def held_out_count(count: int) -> int:
    """Return how many of so many are held out."""
    return min(_MOST_HELD_OUT, count // HELD_OUT_SHARE)


def spread(count: int, most: int) -> list[int]:
    """Return up to ``most`` indices below ``count``, evenly spread."""
    kept = min(count, most)
    return [index * count // kept for index in range(kept)]


def split(pictures: Sequence[Picture], seed: int) -> tuple[list[Picture], list[Picture]]:
    """Return the pictures to fit on and those held out, at least one, drawn by the seed and in their order."""
    count = max(1, held_out_count(len(pictures)))
    drawn = set(np.random.default_rng(seed).permutation(len(pictures))[:count].tolist())
    kept = [picture for i, picture in enumerate(pictures) if i not in drawn]
    return kept, [picture for i, picture in enumerate(pictures) if i in drawn]
