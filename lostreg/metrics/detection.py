"""Class-agnostic AP and AR for several boxes per picture, computed by pycocotools.

pycocotools is handed what it cannot trip over: ids from 1 (an annotation with id 0 counts as never found),
pictures without predictions, finite scores only, and copies, as it writes into what it is given. What it prints
is swallowed.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lostreg.metrics.pairing import Floats

MAX_DETECTIONS = (1, 10, 100)


@dataclass(frozen=True)
class DetectionImage:
    """One picture as AP sees it, all boxes in continuous pixels.

    Attributes:
        objects_xyxy: ``(n, 4)``.
        crowds_xyxy: ``(m, 4)``, regions on which predictions are ignored.
        boxes_xyxy: ``(k, 4)``, predicted.
        scores: ``(k,)``, finite.
    """

    objects_xyxy: Floats
    crowds_xyxy: Floats
    boxes_xyxy: Floats
    scores: Floats


@dataclass(frozen=True)
class DetectionScores:
    """COCO's figures with all objects as one class, in percent.

    ``ap50`` is at IoU 0.5; ``ap`` and the recalls are means over IoU 0.5 to 0.95; ``ar1``, ``ar10`` and ``ar100``
    look at so many boxes per picture, best scores first.
    """

    ap50: float
    ap: float
    ar1: float
    ar10: float
    ar100: float


def detection_scores(images: Sequence[DetectionImage]) -> DetectionScores | None:
    """Compute AP and AR; ``None`` if the pictures hold no object at all."""
    if not any(len(image.objects_xyxy) for image in images):
        return None
    evaluated = _run_pycocotools(images)
    precision, recall = (values[..., 0, 0, :] for values in (evaluated["precision"], evaluated["recall"]))
    # precision: (IoU, recall point, max detections); recall: (IoU, max detections)
    return DetectionScores(
        ap50=100.0 * float(precision[0, :, -1].mean()),
        ap=100.0 * float(precision[:, :, -1].mean()),
        ar1=100.0 * float(recall[:, 0].mean()),
        ar10=100.0 * float(recall[:, 1].mean()),
        ar100=100.0 * float(recall[:, 2].mean()),
    )


def _run_pycocotools(images: Sequence[DetectionImage]) -> dict[str, Any]:
    from pycocotools.cocoeval import COCOeval

    truth = _index((_truth_rows(image) for image in images), len(images))
    found = _index((_found_rows(image) for image in images), len(images))
    evaluator = COCOeval(truth, found, "bbox")
    evaluator.params.maxDets = list(MAX_DETECTIONS)
    evaluator.params.areaRng = [[0, float("inf")]]
    evaluator.params.areaRngLbl = ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    return dict(evaluator.eval)


def _index(rows_by_image: Iterable[list[dict[str, Any]]], images: int) -> Any:
    from pycocotools.coco import COCO

    annotations = [
        {"image_id": image_id, "category_id": 1, **row}
        for image_id, rows in enumerate(rows_by_image, start=1)
        for row in rows
    ]
    for annotation_id, annotation in enumerate(annotations, start=1):
        annotation["id"] = annotation_id
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in range(1, images + 1)],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _truth_rows(image: DetectionImage) -> list[dict[str, Any]]:
    return [
        row | {"iscrowd": crowd}
        for boxes, crowd in ((image.objects_xyxy, 0), (image.crowds_xyxy, 1))
        for row in _box_rows(boxes)
    ]


def _found_rows(image: DetectionImage) -> list[dict[str, Any]]:
    rows = zip(_box_rows(image.boxes_xyxy), image.scores.tolist(), strict=True)
    return [row | {"iscrowd": 0, "score": score} for row, score in rows]


def _box_rows(boxes_xyxy: Floats) -> list[dict[str, Any]]:
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    boxes_xywh = np.hstack([boxes_xyxy[:, :2], sides]).tolist()
    return [{"bbox": box, "area": box[2] * box[3]} for box in boxes_xywh]
