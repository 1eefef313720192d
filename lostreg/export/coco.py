"""COCO: an instances file (a dataset of its own) and a results list (detections for another dataset).

Ids count from 1: pycocotools takes an annotation with id 0 for unmatched. All pictures are listed, those without
objects too. ``area`` is that of the mask in pixels, ``iscrowd`` is 0 whatever the mask looks like, ``bbox`` is
``[x, y, width, height]`` in continuous pixels, and the one category is ``object`` with id 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from lostreg import __version__
from lostreg.annotations import read_coco
from lostreg.errors import RunError, UsageError
from lostreg.export.base import CLASS_NAME, Format, Job
from lostreg.export.outlines import polygons_of
from lostreg.files import written_whole
from lostreg.records import Record, RecordedObject, decode_mask, mask_area

CATEGORY_ID = 1


def with_ids_of(job: Job, chosen: Format, annotations: Path) -> Job:
    """Name pictures by the ids of a COCO instances file instead.

    Raises:
        UsageError: the format is not ``coco-results``.
        AnnotationError: the file is damaged.
        RunError: a picture of the run is not in the file.
    """
    if chosen is not RESULTS:
        raise UsageError(f"--annotations gives image ids to {RESULTS.name}; it makes no sense with {chosen.name}.")
    ids = {key: image_id for image_id, key in read_coco(annotations).keys_by_id.items()}
    missing = [key for key in job.image_ids if key not in ids]
    if missing:
        raise RunError(
            f"{len(missing)} of {len(job.image_ids)} pictures of the run, such as {missing[0]}, are not in "
            f"{annotations}; export without --annotations, or name the file of the dataset that was run."
        )
    return replace(job, image_ids={key: ids[key] for key in job.image_ids})


def write_instances(job: Job) -> Path:
    """Write ``instances.json``, line by line, so that a run of any size fits into memory."""
    target = job.output / "instances.json"
    info = {"description": "Objects that lostreg found without labels", "version": __version__}
    categories = [{"id": CATEGORY_ID, "name": CLASS_NAME, "supercategory": ""}]
    with written_whole(target) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(f'{{"info": {json.dumps(info)}, "licenses": [], "categories": {json.dumps(categories)},\n')
        stream.write('"images": ')
        _write_rows(stream, (_image(record, job) for record in job.records()))
        stream.write(',\n"annotations": ')
        _write_rows(stream, _annotations(job))
        stream.write("}\n")
    return target


def write_results(job: Job) -> Path:
    """Write ``results.json``: one entry per object, with its score."""
    target = job.output / "results.json"
    with written_whole(target) as temporary, temporary.open("w", encoding="utf-8") as stream:
        _write_rows(stream, (_result(each, record, job) for record in job.records() for each in record.objects))
        stream.write("\n")
    return target


def _write_rows(stream: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    separator = "[\n"
    for row in rows:
        stream.write(separator + json.dumps(row, separators=(",", ":"), allow_nan=False))
        separator = ",\n"
    stream.write("[]" if separator == "[\n" else "\n]")


def _image(record: Record, job: Job) -> dict[str, Any]:
    return {
        "id": job.image_ids[record.key],
        "file_name": record.key,
        "width": record.width,
        "height": record.height,
    }


def _annotations(job: Job) -> Iterator[dict[str, Any]]:
    number = 0
    for record in job.records():
        for each in record.objects:
            number += 1
            result = _result(each, record, job)
            if job.shape == "polygon":
                result["segmentation"] = _polygons(each)
            yield {"id": number, **result, "area": area_of(each), "iscrowd": 0}


def _result(each: RecordedObject, record: Record, job: Job) -> dict[str, Any]:
    x0, y0, x1, y1 = each.bbox_xyxy
    found = {
        "image_id": job.image_ids[record.key],
        "category_id": CATEGORY_ID,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "score": each.score,
    }
    return found | {"segmentation": each.mask or _polygons(each)}


def area_of(each: RecordedObject) -> float:
    """Return an object's area in square pixels: of its mask, or of its box where it has none."""
    if each.mask is None:
        x0, y0, x1, y1 = each.bbox_xyxy
        return (x1 - x0) * (y1 - y0)
    return float(mask_area(each.mask))


def _polygons(each: RecordedObject) -> list[list[float]]:
    if each.mask is None:
        x0, y0, x1, y1 = each.bbox_xyxy
        return [[x0, y0, x0, y1, x1, y1, x1, y0]]
    return [[float(value) for point in polygon for value in point] for polygon in polygons_of(decode_mask(each.mask))]


INSTANCES = Format(
    name="coco",
    summary="COCO instances.json, masks as run lengths, or as polygons with holes filled",
    write=write_instances,
    shapes=("mask", "polygon"),
)
RESULTS = Format(
    name="coco-results",
    summary="COCO results.json, a list of detections",
    write=write_results,
    shapes=("mask",),
)
