"""How sure a share is, and whether two runs differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from lostreg.metrics.corloc import Share

RESAMPLES = 10_000
_PERCENTILES = (2.5, 97.5)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same pictures.

    Attributes:
        images: how many.
        only_first: pictures that only the first run hit.
        only_second: pictures that only the second run hit.
        p_value: of McNemar's exact test, two-sided.
        difference: CorLoc of the second less that of the first, in percentage points.
        interval: its 95 % bootstrap interval over pictures.
    """

    images: int
    only_first: int
    only_second: int
    p_value: float
    difference: float
    interval: Interval


def share_interval(share: Share, seed: int = 0) -> Interval:
    """Return the 95 % bootstrap interval of a share of at least one picture, in percent.

    Resampling pictures with replacement draws each hit with the probability of the share, so the number of hits
    in a resample is binomial and need not be drawn picture by picture.
    """
    hits = np.random.default_rng(seed).binomial(share.images, share.hits / share.images, RESAMPLES)
    return _percentiles(100.0 * hits / share.images)


def compare(first_hits: NDArray[np.bool_], second_hits: NDArray[np.bool_], seed: int = 0) -> Comparison:
    """Compare two runs picture by picture (McNemar, Psychometrika 12, 1947; the exact form).

    Args:
        first_hits: ``(n,)`` ``bool``, pictures in the same order, at least one.
        second_hits: likewise.
        seed: of the bootstrap, which resamples pictures: the two hits of a picture stay together.
    """
    images = len(first_hits)
    only_first = int((first_hits & ~second_hits).sum())
    only_second = int((second_hits & ~first_hits).sum())
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0
    shares = np.array([only_first, only_second, images - differing]) / images
    drawn = np.random.default_rng(seed).multinomial(images, shares, RESAMPLES)
    difference = 100.0 * (only_second - only_first) / images
    interval = _percentiles(100.0 * (drawn[:, 1] - drawn[:, 0]) / images)
    return Comparison(images, only_first, only_second, p_value, difference, interval)


def _percentiles(values: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values, _PERCENTILES)
    return float(low), float(high)
