"""Annotated and predicted boxes of the same pictures, side by side in a few flat arrays.

Loops over pictures end here; every figure is array arithmetic from here on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lostreg.annotations import GroundTruth
from lostreg.errors import AnnotationError
from lostreg.predictions import PredictedBoxes, Predictions

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pairs:
    """``n`` pictures that have objects, ``m`` objects altogether, grouped by picture.

    Attributes:
        keys: the pictures.
        images_wh: ``(n, 2)`` ``float64``, widths and heights.
        has_box: ``(n,)`` ``bool``, whether anything was predicted.
        first_boxes_xyxy: ``(n, 4)``, the first predicted box, zeros where there is none.
        boxes_xyxy: ``(m, 4)``, the objects in LOST's convention.
        counts: ``(n,)`` ``int64``, objects per picture, at least 1.
        class_ids: ``(m,)`` ``int64``, indices into ``class_names``.
        class_names: in alphabetical order.
    """

    keys: tuple[str, ...]
    images_wh: Floats
    has_box: NDArray[np.bool_]
    first_boxes_xyxy: Floats
    boxes_xyxy: Floats
    counts: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def starts(self) -> NDArray[np.int64]:
        """``(n,)``: where each picture's objects begin."""
        return np.cumsum(self.counts) - self.counts

    @property
    def whole_boxes_xyxy(self) -> Floats:
        """``(n, 4)``: each whole picture as a box, LOST's degenerate answer."""
        return np.hstack([np.zeros_like(self.images_wh), self.images_wh])


def pair(truths: Iterable[GroundTruth], predictions: Predictions, *, no_hard: bool = False) -> Pairs:
    """Join ground truth and predictions; pictures without objects are left out.

    Args:
        truths: the pictures to evaluate.
        predictions: of these and perhaps other pictures.
        no_hard: drop objects that are difficult or truncated, and pictures left without any (LOST's
            ``--no_hard``).

    Raises:
        AnnotationError: a prediction was made on a picture of another size, or lies outside its picture.
    """
    kept = [(truth, _kept_objects(truth, no_hard)) for truth in truths]
    kept = [(truth, rows) for truth, rows in kept if rows.size]
    found = [_checked_prediction(truth, predictions) for truth, _ in kept]
    names = [truth.classes[row] for truth, rows in kept for row in rows]
    class_names = tuple(sorted(set(names)))
    index = {name: number for number, name in enumerate(class_names)}
    return Pairs(
        keys=tuple(truth.key for truth, _ in kept),
        images_wh=np.array([(truth.width, truth.height) for truth, _ in kept], dtype=np.float64).reshape(-1, 2),
        has_box=np.array([each is not None for each in found], dtype=np.bool_),
        first_boxes_xyxy=_stack([np.zeros(4) if each is None else each.boxes_xyxy[0] for each in found]),
        boxes_xyxy=_stack([truth.boxes_xyxy[rows] for truth, rows in kept]),
        counts=np.array([rows.size for _, rows in kept], dtype=np.int64),
        class_ids=np.array([index[name] for name in names], dtype=np.int64),
        class_names=class_names,
    )


def _kept_objects(truth: GroundTruth, no_hard: bool) -> NDArray[np.intp]:
    return np.flatnonzero(truth.easy) if no_hard else np.arange(len(truth.classes))


def _checked_prediction(truth: GroundTruth, predictions: Predictions) -> PredictedBoxes | None:
    found = predictions.images.get(truth.key)
    if found is None or not len(found.boxes_xyxy):
        return None
    record = f"{predictions.source}, {truth.key}"
    if found.wh not in (None, (truth.width, truth.height)):
        raise AnnotationError(
            f"{record}: the prediction is for a picture of {found.wh[0]} x {found.wh[1]} pixels, but the annotated "
            f"one has {truth.width} x {truth.height}; discover again with --dataset and --root."
        )
    x0, y0, x1, y1 = found.boxes_xyxy[0]
    if x0 >= truth.width or y0 >= truth.height or x1 <= 0 or y1 <= 0:
        raise AnnotationError(
            f"{record}: the box {found.boxes_xyxy[0].tolist()} lies outside its picture of {truth.width} x "
            f"{truth.height} pixels; boxes must be (x0, y0, x1, y1) in pixels of the stored picture."
        )
    return found


def _stack(rows: list[Floats]) -> Floats:
    return np.vstack(rows) if rows else np.zeros((0, 4))
