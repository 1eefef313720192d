"""The objects that people drew on one picture, as every reader hands them on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lostreg.errors import AnnotationError

MOST_OUTSIDE = 2.0
"""Pixels by which a box may leave its picture: 0-based and rounded files do, other pictures' boxes do more."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The annotated objects of one picture, in the order of the file.

    Attributes:
        key: the picture's name within its dataset.
        width: of the annotated picture, in pixels.
        height: likewise.
        boxes_xyxy: ``(n, 4)`` ``float64``, continuous pixels of the stored picture in LOST's convention: VOC's
            inclusive 1-based boxes as ``[xmin - 1, ymin - 1, xmax, ymax]``, COCO's with rounded edges.
        classes: ``n`` names.
        difficult: ``(n,)`` ``bool``, VOC's flag.
        truncated: ``(n,)`` ``bool``, VOC's flag.
        exact_boxes_xyxy: ``(n, 4)`` ``float64``, the same boxes without rounding, for AP and AR.
        crowd_boxes_xyxy: ``(m, 4)`` ``float64``, COCO's crowd regions, unrounded: no objects, but AP ignores
            detections that lie on them.
    """

    key: str
    width: int
    height: int
    boxes_xyxy: NDArray[np.float64]
    classes: tuple[str, ...]
    difficult: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    exact_boxes_xyxy: NDArray[np.float64]
    crowd_boxes_xyxy: NDArray[np.float64]

    @property
    def easy(self) -> NDArray[np.bool_]:
        """``(n,)`` ``bool``: neither difficult nor truncated, LOST's ``--no_hard``."""
        return ~(self.difficult | self.truncated)


def as_boxes(rows: list[tuple[float, float, float, float]]) -> NDArray[np.float64]:
    """Return the rows as a ``(n, 4)`` ``float64`` array, also when there are none."""
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def check_inside(box_xyxy: tuple[float, float, float, float], width: int, height: int, record: str) -> None:
    """Refuse a box that leaves its picture by more than :data:`MOST_OUTSIDE` pixels.

    Raises:
        AnnotationError: it does; the sentence begins with ``record``.
    """
    x0, y0, x1, y1 = box_xyxy
    if min(x0, y0) < -MOST_OUTSIDE or x1 > width + MOST_OUTSIDE or y1 > height + MOST_OUTSIDE:
        raise AnnotationError(
            f"{record}: the box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) leaves its picture of {width} x {height} "
            f"pixels by more than {MOST_OUTSIDE:g}; it belongs to another picture or size."
        )
