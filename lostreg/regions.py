"""Patches to regions: connected components, their boxes, and how far a region stands out.

Components are 4-connected, as in LOST (``scipy.ndimage.label``'s default).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Map = NDArray[np.float32]

_FOUR_CONNECTED = ndimage.generate_binary_structure(2, 1)


def component_of(mask: Mask, row: int, column: int) -> Mask:
    """Return the component of ``mask`` ``(h, w)`` that holds a patch; empty if the patch is not in it."""
    labels, _ = _labelled(mask)
    if labels[row, column] == 0:
        return np.zeros_like(mask)
    return np.asarray(labels == labels[row, column])


def largest_component(mask: Mask) -> Mask:
    """Return the component with most patches, of equals the first in reading order; empty if there is none."""
    return _best_component(mask, mask.astype(np.float32))


def heaviest_component(scores: Map) -> Mask:
    """Return the component of ``scores > 0`` with the largest sum of scores; empty if none is positive."""
    return _best_component(scores > 0, scores)


def heaviest_components(scores: Map, most: int) -> list[Mask]:
    """Return up to ``most`` components of ``scores > 0``, those with the largest sums of scores, heaviest first."""
    labels, _ = _labelled(scores > 0)
    return [labels == 1 + index for index in np.argsort(-_sums(labels, scores), kind="stable")[:most]]


def _best_component(mask: Mask, weights: Map) -> Mask:
    labels, count = _labelled(mask)
    return labels == 1 + int(np.argmax(_sums(labels, weights))) if count else np.zeros_like(mask)


def _labelled(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """Return the number of each patch's component, from 1 in reading order, 0 outside; and how many there are."""
    labels, count = ndimage.label(mask, _FOUR_CONNECTED)
    return labels, count


def _sums(labels: NDArray[np.int32], weights: Map) -> NDArray[np.float64]:
    """Return the sum of weights of each component, the first one first."""
    return np.asarray(np.bincount(labels.ravel(), weights.ravel())[1:], dtype=np.float64)


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Return the half-open box ``(x0, y0, x1, y1)``, in patches, of a mask ``(h, w)`` that is not empty.

    Example:
        >>> bounding_box(np.array([[False, True, True], [False, True, False]]))
        (1, 0, 3, 2)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def contrast(scores: Map, region: Mask, among: Mask) -> float:
    """Return how far a region stands out of its surroundings, in [0, 1].

    The difference of mean score inside and outside, over the range of the scores: 1 when the map is a
    perfect two-level picture of the region, 0 when inside and outside look alike or nothing is outside.

    Args:
        scores: ``(h, w)``, larger on the object.
        region: ``(h, w)``, the object's patches.
        among: ``(h, w)``, the patches that took part.
    """
    outside = among & ~region
    values = scores[among].astype(np.float64)
    if not region.any() or not outside.any() or np.ptp(values) == 0:
        return 0.0
    difference = scores[region].mean(dtype=np.float64) - scores[outside].mean(dtype=np.float64)
    return float(np.clip(difference / np.ptp(values), 0.0, 1.0))
