"""Masks as polygons along the edges of their pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Polygon = list[tuple[int, int]]


def polygons_of(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Return one polygon per 8-connected part of a mask ``(height, width)``; holes are filled.

    Corners are pixel corners ``(x, y)``, so that a polygon covers exactly the pixels of its part: a single
    pixel at the origin is ``[(0, 0), (0, 1), (1, 1), (1, 0)]``.
    """
    # cv2 traces pixel centres. On the mask at double size every side of a pixel has centres of its own, from
    # which the corner follows by rounding outwards.
    doubled = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [_corners((contour[:, 0, :].astype(np.int64) + 1) // 2) for contour in contours]


def _corners(points_xy: NDArray[np.integer[Any]]) -> Polygon:
    """Keep the points of a closed path ``(n, 2)`` where it turns."""
    distinct = points_xy[np.any(points_xy != np.roll(points_xy, 1, axis=0), axis=1)]
    before, after = distinct - np.roll(distinct, 1, axis=0), np.roll(distinct, -1, axis=0) - distinct
    turns = np.any(np.sign(before) != np.sign(after), axis=1)
    return [(int(x), int(y)) for x, y in distinct[turns]]
