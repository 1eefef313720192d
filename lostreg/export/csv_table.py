"""CSV: a table with a header and one row per object, as in RFC 4180."""

from __future__ import annotations

import csv
from pathlib import Path

from lostreg.export.base import Format, Job
from lostreg.export.coco import area_of
from lostreg.export.names import legible
from lostreg.files import written_whole
from lostreg.records import Record, RecordedObject

COLUMNS = (
    "key",
    "path",
    "width",
    "height",
    "object",
    "x0",
    "y0",
    "x1",
    "y1",
    "score",
    "seed_x",
    "seed_y",
    "area",
)
"""Coordinates in continuous pixels, ``object`` from 1 within its picture, ``area`` of the mask in pixels."""


def write(job: Job) -> Path:
    """Write ``objects.csv`` and return it."""
    target = job.output / "objects.csv"
    with written_whole(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for record in job.records():
            table.writerows(_row(record, number, each) for number, each in enumerate(record.objects, start=1))
    return target


def _row(record: Record, number: int, each: RecordedObject) -> list[object]:
    seed = each.seed_xy or ("", "")
    picture = [legible(record.key), legible(record.path), record.width, record.height]
    return [*picture, number, *each.bbox_xyxy, each.score, *seed, area_of(each)]


FORMAT = Format(name="csv", summary="objects.csv, one row per object", write=write)
