"""Predictions against ground truth: all figures of one run, and two runs side by side.

Example:
    >>> from pathlib import Path
    >>> from lostreg.datasets import open_dataset
    >>> from lostreg.predictions import read_predictions
    >>> dataset = open_dataset("voc07", Path("VOCdevkit"))  # doctest: +SKIP
    >>> predictions = read_predictions(Path("out"), dataset.keys_by_id)  # doctest: +SKIP
    >>> evaluate(dataset.truths(), predictions).corloc.percent  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostreg.annotations import GroundTruth
from lostreg.errors import AnnotationError
from lostreg.metrics.corloc import (
    IOU_THRESHOLDS,
    Share,
    best_ious,
    corloc,
    corloc_by_class,
    corloc_by_size,
    whole_image_share,
)
from lostreg.metrics.detection import DetectionImage, DetectionScores, detection_scores
from lostreg.metrics.intervals import Comparison, Interval, compare, share_interval
from lostreg.metrics.pairing import Pairs, pair
from lostreg.predictions import PredictedBoxes, Predictions

WHOLE_IMAGE_WARNING = 20.0
"""Per cent of whole-image boxes above which the backbone is not working, rather than weak."""

_NOTHING = PredictedBoxes(np.zeros((0, 4)), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures of one run.

    Attributes:
        corloc: hits at IoU 0.5 among the evaluated pictures.
        interval: its 95 % bootstrap interval, in percent.
        floor: CorLoc of the whole picture as the box, on the same pictures.
        whole_image: predictions that are the whole picture, among those made.
        mean_best_iou: mean over pictures of the IoU with the object overlapped best; 0 where nothing was predicted.
        corloc_at: CorLoc by IoU threshold, ``"0.50"`` to ``"0.95"``.
        by_class: see :func:`lostreg.metrics.corloc.corloc_by_class`.
        by_size: see :func:`lostreg.metrics.corloc.corloc_by_size`.
        detection: AP and AR where several boxes were predicted on some picture, else ``None``. They count the same
            objects, and pictures without objects too.
        without_prediction: evaluated pictures on which nothing was predicted; they are misses.
        without_objects: pictures that are not evaluated because they have no object (with ``no_hard``: none left).
        left_out: predicted pictures that do not belong to the evaluated split.
        keys: the evaluated pictures.
        best_ious: ``(len(keys),)``, each picture's IoU with the object overlapped best.
        unfinished: a sentence where the run has pictures left to do.
    """

    corloc: Share
    interval: Interval
    floor: Share
    whole_image: Share
    mean_best_iou: float
    corloc_at: dict[str, Share]
    by_class: dict[str, Share]
    by_size: dict[str, Share]
    detection: DetectionScores | None
    without_prediction: int
    without_objects: int
    left_out: int
    keys: tuple[str, ...]
    best_ious: NDArray[np.float64]
    unfinished: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on what makes the figures doubtful."""
        sentences = [] if self.unfinished is None else [f"{self.unfinished} Here they count as misses."]
        if (self.whole_image.percent or 0.0) > WHOLE_IMAGE_WARNING:
            sentences.append(
                f"{self.whole_image.percent:.1f} % of the boxes are the whole picture, so this CorLoc says more about "
                "the floor than about the backbone; an --offset such as mean usually mends it."
            )
        if self.left_out:
            sentences.append(f"{self.left_out} predicted pictures are not in this split and were left out.")
        return tuple(sentences)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; shares as hits, images and percent, all figures but counts and IoU in percent."""
        return {
            "images": self.corloc.images,
            "corloc": _share(self.corloc) | {"interval95": list(self.interval)},
            "floor_whole_image": _share(self.floor),
            "whole_image_boxes": _share(self.whole_image),
            "mean_best_iou": self.mean_best_iou,
            "corloc_at_iou": {threshold: _share(share) for threshold, share in self.corloc_at.items()},
            "corloc_by_class": {name: _share(share) for name, share in self.by_class.items()},
            "corloc_by_size": {name: _share(share) for name, share in self.by_size.items()},
            "detection": asdict(self.detection) if self.detection else None,
            "images_without_prediction": self.without_prediction,
            "images_without_objects": self.without_objects,
            "predictions_left_out": self.left_out,
            "warnings": list(self.warnings),
        }


def evaluate(
    truths: Mapping[str, GroundTruth], predictions: Predictions, *, no_hard: bool = False, seed: int = 0
) -> Evaluation:
    """Compute all figures.

    Args:
        truths: the pictures of the split, by key.
        predictions: of these and perhaps other pictures.
        no_hard: drop difficult and truncated objects, and pictures left without any.
        seed: of the bootstrap.

    Raises:
        AnnotationError: nothing can be compared, or a prediction does not fit its picture.
    """
    _check_common_keys(truths, predictions)
    pairs = _pairs(truths, predictions, no_hard)
    best = best_ious(pairs, pairs.first_boxes_xyxy)
    hits = corloc(best)
    interval = share_interval(hits, seed)
    return Evaluation(
        corloc=hits,
        interval=interval,
        floor=corloc(best_ious(pairs, pairs.whole_boxes_xyxy)),
        whole_image=whole_image_share(pairs),
        mean_best_iou=float(best.mean()),
        corloc_at={f"{threshold:.2f}": corloc(best, threshold) for threshold in IOU_THRESHOLDS},
        by_class=corloc_by_class(pairs),
        by_size=corloc_by_size(pairs, best),
        detection=_detection(truths, predictions, no_hard),
        without_prediction=int((~pairs.has_box).sum()),
        without_objects=len(truths) - len(pairs.keys),
        left_out=len(predictions.images.keys() - truths.keys()),
        keys=pairs.keys,
        best_ious=best,
        unfinished=predictions.unfinished,
    )


def compare_runs(first: Evaluation, second: Evaluation, *, seed: int = 0) -> Comparison:
    """Compare two evaluations of the same pictures; the difference is that of the second less the first.

    Raises:
        ValueError: they are of different pictures.
    """
    if first.keys != second.keys:
        raise ValueError("The two evaluations are of different pictures.")
    return compare(first.best_ious >= 0.5, second.best_ious >= 0.5, seed)


def _check_common_keys(truths: Mapping[str, GroundTruth], predictions: Predictions) -> None:
    if predictions.images and not predictions.images.keys() & truths.keys():
        raise AnnotationError(
            f"None of the {len(predictions.images)} pictures in {predictions.source} is among the {len(truths)} of the "
            f"dataset; they are named like {next(iter(predictions.images))!r}, but should be like "
            f"{next(iter(truths), 'nothing')!r}."
        )


def _pairs(truths: Mapping[str, GroundTruth], predictions: Predictions, no_hard: bool) -> Pairs:
    pairs = pair(truths.values(), predictions, no_hard=no_hard)
    if not pairs.keys:
        raise AnnotationError(f"None of the {len(truths)} pictures has an object to be found, so there is no CorLoc.")
    return pairs


def _detection(truths: Mapping[str, GroundTruth], predictions: Predictions, no_hard: bool) -> DetectionScores | None:
    if all(len(predictions.images.get(key, _NOTHING).scores) < 2 for key in truths):
        return None
    images = []
    for key, truth in truths.items():
        objects = truth.exact_boxes_xyxy[truth.easy] if no_hard else truth.exact_boxes_xyxy
        if len(truth.classes) and not len(objects):
            continue
        found = predictions.images.get(key, _NOTHING)
        images.append(DetectionImage(objects, truth.crowd_boxes_xyxy, found.boxes_xyxy, found.scores))
    return detection_scores(images)


def _share(share: Share) -> dict[str, Any]:
    return {"hits": share.hits, "images": share.images, "percent": share.percent}
