"""CorLoc and its relatives (LOST, arXiv 2109.14279, sec. 4.1).

A picture is a hit if the first predicted box overlaps any annotated object with an IoU of at least 0.5; a
picture without a prediction is a miss. Boxes are continuous: width is ``x1 - x0``, without a + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lostreg.metrics.pairing import Floats, Pairs

IOU_THRESHOLDS: tuple[float, ...] = tuple(percent / 100 for percent in range(50, 100, 5))
"""0.5 to 0.95, each the double nearest to its decimal, so that an exact tie counts."""

SIZE_LIMITS = {"small": 0.0, "medium": 32.0**2, "large": 96.0**2}
"""COCO's sizes by the smallest area that belongs to them, in square pixels."""

_WHOLE_TOLERANCE = 1e-3
"""Records are rounded to so many pixels."""


@dataclass(frozen=True)
class Share:
    """So many hits among so many pictures."""

    hits: int
    images: int

    @property
    def percent(self) -> float | None:
        """The share in percent; ``None`` of no pictures."""
        return 100.0 * self.hits / self.images if self.images else None


def iou(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """Return the intersection over union of boxes in the same rows, ``(n,)``; 0 where neither has an area.

    Args:
        boxes_xyxy: ``(n, 4)`` continuous pixels.
        others_xyxy: ``(n, 4)`` likewise.

    Example:
        >>> iou(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 1]]))
        array([0.5])
    """
    overlap = np.minimum(boxes_xyxy[:, 2:], others_xyxy[:, 2:]) - np.maximum(boxes_xyxy[:, :2], others_xyxy[:, :2])
    shared = np.clip(overlap, 0, None).prod(axis=1)
    union = areas(boxes_xyxy) + areas(others_xyxy) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def areas(boxes_xyxy: Floats) -> Floats:
    """Return the areas of boxes ``(n, 4)`` in square pixels, ``(n,)``."""
    return np.asarray((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1))


def object_ious(pairs: Pairs, first_boxes_xyxy: Floats) -> Floats:
    """Return the IoU of every object with the box of its picture, ``(m,)``; 0 without a prediction.

    Args:
        pairs: the objects.
        first_boxes_xyxy: ``(n, 4)``, one box per picture.
    """
    return iou(np.repeat(first_boxes_xyxy, pairs.counts, axis=0), pairs.boxes_xyxy)


def best_ious(pairs: Pairs, first_boxes_xyxy: Floats) -> Floats:
    """Return the IoU of each picture's box with the object that it overlaps best, ``(n,)``."""
    if not len(pairs.keys):
        return np.zeros(0)
    return np.asarray(np.maximum.reduceat(object_ious(pairs, first_boxes_xyxy), pairs.starts))


def corloc(best: Floats, threshold: float = 0.5) -> Share:
    """Count the pictures whose best IoU reaches the threshold; exactly reaching it counts."""
    return Share(int((best >= threshold).sum()), len(best))


def corloc_by_class(pairs: Pairs) -> dict[str, Share]:
    """Return, for every class, the share of its pictures in which an object of that class was hit.

    The pictures of a class are those that contain it; a hit on an object of another class does not count. (The
    overall CorLoc counts any class, so it is no mean of these.)
    """
    hit = object_ious(pairs, pairs.first_boxes_xyxy) >= 0.5
    classes = len(pairs.class_names)
    image_of = np.repeat(np.arange(len(pairs.keys)), pairs.counts)
    # One number per picture and class, so that several objects of a class in a picture count once.
    both = image_of * classes + pairs.class_ids
    present, hits = np.unique(both) % max(classes, 1), np.unique(both[hit]) % max(classes, 1)
    images = np.bincount(present, minlength=classes)
    hit_images = np.bincount(hits, minlength=classes)
    return {name: Share(int(hit_images[i]), int(images[i])) for i, name in enumerate(pairs.class_names)}


def corloc_by_size(pairs: Pairs, best: Floats) -> dict[str, Share]:
    """Return CorLoc over the pictures whose largest object is small, medium or large.

    The size is that of the object's box by COCO's limits (32 and 96 pixels squared). The largest object decides,
    not the one that was hit, so that all methods are compared on the same pictures.
    """
    if not len(pairs.keys):
        return {name: Share(0, 0) for name in SIZE_LIMITS}
    largest = np.maximum.reduceat(areas(pairs.boxes_xyxy), pairs.starts)
    size = np.searchsorted(list(SIZE_LIMITS.values()), largest, side="right") - 1
    return {name: corloc(best[size == number]) for number, name in enumerate(SIZE_LIMITS)}


def whole_image_share(pairs: Pairs) -> Share:
    """Count the predicted boxes that are the whole picture, among the pictures with a prediction."""
    equal = np.abs(pairs.first_boxes_xyxy - pairs.whole_boxes_xyxy) <= _WHOLE_TOLERANCE
    whole: NDArray[np.bool_] = equal.all(axis=1) & pairs.has_box
    return Share(int(whole.sum()), int(pairs.has_box.sum()))
