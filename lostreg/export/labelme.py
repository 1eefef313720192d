"""LabelMe: one JSON per picture, opened by labelme beside the picture it names.

A polygon has no holes, so those of a mask are filled; the polygons of one object share a ``group_id``. The
``imagePath`` leads from the JSON to the picture, for as long as neither is moved.
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from lostreg.export.base import CLASS_NAME, Format, Job
from lostreg.export.names import file_names
from lostreg.export.outlines import polygons_of
from lostreg.export.tree import write_file, written_tree
from lostreg.records import Record, RecordedObject, decode_mask

_VERSION = "5.5.0"
"""The version of LabelMe whose schema this is."""


def write(job: Job) -> Path:
    """Write ``labelme/`` and return it."""
    names = file_names(job.image_ids, ".json")
    target = job.output / "labelme"
    with written_tree(target) as folder:
        for record in job.records():
            name = names[record.key]
            content: dict[str, Any] = {
                "version": _VERSION,
                "flags": {},
                "shapes": [
                    shape
                    for number, each in enumerate(record.objects, start=1)
                    for shape in _shapes(each, number, job.shape)
                ],
                "imagePath": _image_path(record, (target / name).parent),
                "imageData": None,
                "imageHeight": record.height,
                "imageWidth": record.width,
            }
            write_file(folder / name, json.dumps(content, indent=1) + "\n")
    return target


def _image_path(record: Record, folder: Path) -> str:
    """Return the way from a JSON's folder to its picture; the bare name where the picture is no file."""
    path = Path(record.path)
    if not os.path.isfile(path):  # noqa: PTH113 - a member of an archive may be longer than any path
        return PurePosixPath(record.key).name
    path = Path(os.path.realpath(path.parent), path.name)
    try:
        return Path(os.path.relpath(path, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive of Windows: there is no relative way
        return path.as_posix()


def _shapes(each: RecordedObject, number: int, shape: str) -> list[dict[str, Any]]:
    if shape == "polygon" and each.mask is not None:
        parts = polygons_of(decode_mask(each.mask))
        return [_shape([[float(x), float(y)] for x, y in part], number, "polygon") for part in parts]
    x0, y0, x1, y1 = each.bbox_xyxy
    return [_shape([[x0, y0], [x1, y1]], number, "rectangle")]


def _shape(points: list[list[float]], number: int, kind: str) -> dict[str, Any]:
    return {
        "label": CLASS_NAME,
        "points": points,
        "group_id": number,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }


FORMAT = Format(name="labelme", summary="LabelMe labelme/*.json", write=write, shapes=("polygon", "box"))
