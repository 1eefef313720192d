"""Small annotated datasets written by hand, and CorLoc computed with fractions: the second opinion of the tests."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np

from lostreg.annotations import GroundTruth
from lostreg.predictions import PredictedBoxes, Predictions


def voc_xml(stem, objects, size=(100, 80)):
    """Return VOC XML; an object is (name, box) or (name, box, difficult, truncated)."""
    rows = []
    for name, (xmin, ymin, xmax, ymax), *flags in objects:
        difficult, truncated = flags or (0, 0)
        rows.append(
            f"<object><name>{name}</name><truncated>{truncated}</truncated><difficult>{difficult}</difficult>"
            f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
        )
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{stem}.jpg</filename>{sides}{''.join(rows)}</annotation>"


def write_voc(root, pictures, split="trainval"):
    """Write a devkit: pictures maps stems to the objects of :func:`voc_xml`."""
    folder = root / "VOC2007"
    for part in ("ImageSets/Main", "Annotations"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for stem, objects in pictures.items():
        (folder / "Annotations" / f"{stem}.xml").write_text(voc_xml(stem, objects))
    (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in pictures))
    return root


def coco_content():
    """Return an instances file with two objects, a crowd, and a picture without any."""
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 100, "height": 80},
            {"id": 3, "file_name": "a.jpg", "width": 60, "height": 50},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 11, "image_id": 7, "category_id": 2, "bbox": [10.5, 20.25, 30.0, 40.5], "iscrowd": 0, "area": 9.0},
            {"id": 12, "image_id": 7, "category_id": 1, "bbox": [0, 0, 100, 80], "iscrowd": 1, "area": 9.0},
            {"id": 13, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0, "area": 9.0},
        ],
    }


def write_coco(path, content=None):
    """Write an instances file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco_content() if content is None else content))
    return path


def truth_of(key, boxes, wh=(100, 100), classes=None, difficult=None, crowds=()):
    """Return ground truth as a reader would."""
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    flags = np.array(difficult if difficult is not None else [False] * len(boxes), dtype=bool)
    return GroundTruth(
        key=key,
        width=wh[0],
        height=wh[1],
        boxes_xyxy=boxes,
        classes=tuple(classes or ["thing"] * len(boxes)),
        difficult=flags,
        truncated=np.zeros(len(boxes), dtype=bool),
        exact_boxes_xyxy=boxes,
        crowd_boxes_xyxy=np.array(crowds, dtype=np.float64).reshape(-1, 4),
    )


def predictions_of(boxes_by_key, scores_by_key=None):
    """Return predictions; boxes_by_key maps keys to lists of boxes."""
    images = {}
    for key, boxes in boxes_by_key.items():
        scores = scores_by_key[key] if scores_by_key else np.linspace(1, 0.5, len(boxes))
        images[key] = PredictedBoxes(np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(scores, dtype=float))
    return Predictions("predictions.json", images)


def exact_iou(box, other):
    """Return the intersection over union as a fraction, from the definition."""
    (a0, b0, a1, b1), (c0, d0, c1, d1) = ([Fraction(edge) for edge in each] for each in (box, other))
    shared = max(min(a1, c1) - max(a0, c0), 0) * max(min(b1, d1) - max(b0, d0), 0)
    union = (a1 - a0) * (b1 - b0) + (c1 - c0) * (d1 - d0) - shared
    return shared / union if union else Fraction(0)
