"""Class-agnostic AP and AR for several boxes per picture, computed by pycocotools.

pycocotools is handed what it cannot trip over: ids from 1 (an annotation with id 0 counts as never found),
pictures without predictions, finite scores only, and copies, as it writes into what it is given. What it prints
is swallowed.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    objects = [np.vstack([image.objects_xyxy, image.crowds_xyxy]) for image in images]
    crowds = [_flags(len(image.objects_xyxy), len(image.crowds_xyxy)) for image in images]
    truth = _index(objects, "iscrowd", np.concatenate(crowds))
    found = _index([image.boxes_xyxy for image in images], "score", np.concatenate([image.scores for image in images]))
    evaluator = COCOeval(truth, found, "bbox")
    evaluator.params.maxDets = list(MAX_DETECTIONS)
    evaluator.params.areaRng = [[0, float("inf")]]
    evaluator.params.areaRngLbl = ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    return dict(evaluator.eval)


def _flags(objects: int, crowds: int) -> NDArray[np.int64]:
    return np.repeat([0, 1], [objects, crowds])


def _index(boxes_by_image: Sequence[Floats], name: str, values: NDArray[Any]) -> Any:
    """Return pycocotools' index of boxes that all carry one more value under ``name``."""
    from pycocotools.coco import COCO

    boxes_xyxy = np.vstack(boxes_by_image)
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    image_ids = np.repeat(np.arange(1, len(boxes_by_image) + 1), [len(boxes) for boxes in boxes_by_image])
    columns = (np.hstack([boxes_xyxy[:, :2], sides]), sides.prod(axis=1), image_ids, values)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in range(1, len(boxes_by_image) + 1)],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [
            {"id": number, "image_id": image_id, "category_id": 1, "bbox": box, "area": area, "iscrowd": 0, name: value}
            for number, (box, area, image_id, value) in enumerate(rows, start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
