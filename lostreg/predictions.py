"""Predicted boxes from disk: a run folder, a COCO results list, or one box per picture.

::

    RUN/                                                    written by lostreg
    [{"image_id": 9, "bbox": [x, y, w, h], "score": 0.9}]   COCO results; any category, 0 and more per picture
    {"000005.jpg": [x0, y0, x1, y1]}                        one box per picture, scored 1

Within a picture the order of the file is kept: the first object is the one that CorLoc looks at.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostreg.annotations.strict import are_numbers, brief, is_number, is_text, is_whole, read_json
from lostreg.errors import AnnotationError
from lostreg.layout import RECORDS
from lostreg.records import Record
from lostreg.runreader import read_header, read_records, unfinished

_Scored = tuple[tuple[float, float, float, float], float]


@dataclass(frozen=True, eq=False)
class PredictedBoxes:
    """What was predicted on one picture.

    Attributes:
        boxes_xyxy: ``(k, 4)`` ``float64``, continuous pixels of the stored picture, with a positive size; they may
            leave the picture, as DINO-seg's do.
        scores: ``(k,)`` ``float64``, finite.
        wh: width and height of the picture, where the file tells.
    """

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    wh: tuple[int, int] | None = None


@dataclass(frozen=True)
class Predictions:
    """Predicted boxes by picture.

    Attributes:
        source: the file or folder they come from.
        images: by key; a picture that was looked at without finding anything has no boxes.
        unfinished: a sentence where they come from a run that has pictures left to do.
    """

    source: str
    images: dict[str, PredictedBoxes]
    unfinished: str | None = None


def read_predictions(path: Path, keys_by_id: Mapping[int, str]) -> Predictions:
    """Read a run folder, a COCO results list or a file of one box per picture.

    Args:
        path: the folder or JSON file.
        keys_by_id: the dataset's keys by COCO image id; pictures with other ids are named ``image_id N``.

    Raises:
        AnnotationError: a record is damaged, or in a frame that the dataset is not annotated in.
        RunError: the run folder is damaged.
    """
    if os.path.isdir(path):  # noqa: PTH112 - of what the system refuses to look at, the reader says why
        header = read_header(path)
        return Predictions(str(path), _from_records(path), unfinished(header))
    content = read_json(path)
    if isinstance(content, list):
        return Predictions(str(path), _from_results(content, keys_by_id, path))
    if isinstance(content, dict):
        return Predictions(str(path), _from_single_boxes(content, path))
    raise AnnotationError(f"{path} must hold a COCO results list or an object of boxes by file name.")


def _from_records(folder: Path) -> dict[str, PredictedBoxes]:
    images: dict[str, PredictedBoxes] = {}
    for number, record in enumerate(read_records(folder), start=1):
        name = f"{folder / RECORDS}, line {number} ({record.key})"
        if record.key in images:
            raise AnnotationError(f"{name}: the picture has a record on an earlier line already.")
        _check_frame(record, name)
        scored = [(each.bbox_xyxy, each.score) for each in record.objects]
        images[record.key] = _pack(scored, (record.width, record.height))
    return images


def _check_frame(record: Record, name: str) -> None:
    if record.upright and record.orientation != 1:
        raise AnnotationError(
            f"{name}: its boxes are in the frame of the displayed picture (EXIF orientation {record.orientation}), "
            "but datasets are annotated in the stored frame; discover again with --dataset and --root."
        )


def _from_results(content: list[Any], keys_by_id: Mapping[int, str], path: Path) -> dict[str, PredictedBoxes]:
    found: dict[str, list[_Scored]] = {}
    if content and not keys_by_id:
        raise AnnotationError(
            f"{path} is a COCO results list, which names pictures by COCO's image ids, but the dataset has none; "
            "evaluate the run folder, or a file of boxes by file name."
        )
    for index, values in enumerate(content):
        record = f"{path}, entry {index}"
        if not isinstance(values, dict):
            raise AnnotationError(f"{record} must be an object, but it is {brief(values)}.")
        image_id, bbox, score = (values.get(name) for name in ("image_id", "bbox", "score"))
        if not is_whole(image_id):
            raise AnnotationError(f"{record}: image_id must be a whole number, but it is {brief(image_id)}.")
        if not are_numbers(bbox, 4) or not is_number(score):
            raise AnnotationError(
                f"{record}: expected bbox [x, y, width, height] and a score, but found {brief(bbox)} and "
                f"{brief(score)}."
            )
        x, y, width, height = map(float, bbox)
        scored = _checked((x, y, x + width, y + height), float(score), record)
        found.setdefault(keys_by_id.get(image_id, f"image_id {image_id}"), []).append(scored)
    return {key: _pack(scored) for key, scored in found.items()}


def _from_single_boxes(content: dict[str, Any], path: Path) -> dict[str, PredictedBoxes]:
    images: dict[str, PredictedBoxes] = {}
    for key, box in content.items():
        record = f"{path}, {key!r}"
        if not is_text(key) or not are_numbers(box, 4):
            raise AnnotationError(f"{record}: expected a file name and [x0, y0, x1, y1], but found {brief(box)}.")
        x0, y0, x1, y1 = map(float, box)
        images[key] = _pack([_checked((x0, y0, x1, y1), 1.0, record)])
    return images


def _checked(box: tuple[float, float, float, float], score: float, record: str) -> _Scored:
    x0, y0, x1, y1 = box
    if not all(map(is_number, box)) or not (x0 < x1 and y0 < y1):
        raise AnnotationError(
            f"{record}: a box must be finite and have a size, but it is {list(box)} (x0, y0, x1, y1)."
        )
    if not math.isfinite(score):
        raise AnnotationError(f"{record}: the score must be a finite number, but it is {score}.")
    return box, score


def _pack(scored: Iterable[_Scored], wh: tuple[int, int] | None = None) -> PredictedBoxes:
    rows = list(scored)
    boxes = np.array([box for box, _ in rows], dtype=np.float64).reshape(-1, 4)
    return PredictedBoxes(boxes, np.array([score for _, score in rows], dtype=np.float64), wh)
