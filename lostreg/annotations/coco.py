"""COCO's instances JSON: one file for all pictures.

What is accepted although it deviates, because no figure depends on it or only one reading makes sense:

* segmentations and areas are not read: boxes alone decide, so broken polygons and run lengths change nothing;
* ids may be 0 or negative (AP gives its own from 1), but must be whole numbers and unique;
* a box of zero width or height stays an object that no prediction can hit, as LOST has it; the official file of
  train2017 holds some (cocodataset/cocoapi issue 355);
* a box may leave the picture by up to 2 pixels;
* a missing ``iscrowd`` counts as 0;
* pictures without objects, or with crowd regions only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lostreg.annotations.strict import are_numbers, brief, is_text, is_whole, read_json
from lostreg.annotations.truth import GroundTruth, as_boxes, check_inside
from lostreg.errors import AnnotationError

_NOT_READ = ("segmentation", "licenses", "info")


@dataclass(frozen=True)
class CocoFile:
    """The content of an instances file.

    Attributes:
        keys_by_id: the file name of every picture, by its id, in ascending order of the ids (LOST's order).
        truths: the ground truth by file name, in the same order.
    """

    keys_by_id: dict[int, str]
    truths: dict[str, GroundTruth]


@dataclass(frozen=True)
class _Image:
    key: str
    width: int
    height: int


@dataclass(frozen=True)
class _Annotation:
    box_xyxy: tuple[float, float, float, float]
    class_name: str
    crowd: bool


def read_coco(path: Path) -> CocoFile:
    """Read an instances file; crowd regions are kept apart from the objects.

    Raises:
        AnnotationError: the file or one of its records is damaged.
    """
    content = read_json(path, leave_out=_NOT_READ)
    if not isinstance(content, dict):
        raise AnnotationError(f"{path} must hold one JSON object with images, annotations and categories.")
    images = _read_images(_records(content, "images", path), path)
    classes = _read_classes(_records(content, "categories", path), path)
    drawn: dict[int, list[_Annotation]] = {image_id: [] for image_id in sorted(images)}
    seen: set[int] = set()
    for index, values in enumerate(_records(content, "annotations", path)):
        record = _record_name(path, "annotation", index, values)
        _check_new_id(values, seen, record)
        image_id = values.get("image_id")
        if not is_whole(image_id) or image_id not in images:
            raise AnnotationError(f"{record}: image_id {brief(image_id)} is none of the images in the file.")
        drawn[image_id].append(_read_annotation(values, images[image_id], classes, record))
    truths = {images[image_id].key: _truth(images[image_id], found) for image_id, found in drawn.items()}
    return CocoFile({image_id: images[image_id].key for image_id in drawn}, truths)


def _records(content: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    records = content.get(name)
    if not isinstance(records, list):
        raise AnnotationError(f"{path} must hold a list {name!r}, as COCO's instances files do.")
    for index, values in enumerate(records):
        if not isinstance(values, dict):
            raise AnnotationError(f"{path}, entry {index} of {name!r} must be an object, but it is {brief(values)}.")
    return records


def _read_images(records: list[dict[str, Any]], path: Path) -> dict[int, _Image]:
    images: dict[int, _Image] = {}
    ids: set[int] = set()
    keys: set[str] = set()
    for index, values in enumerate(records):
        record = _record_name(path, "image", index, values)
        _check_new_id(values, ids, record)
        key, width, height = (values.get(name) for name in ("file_name", "width", "height"))
        if not is_text(key) or not _is_plain_path(key):
            raise AnnotationError(f"{record}: file_name must be a path below the image folder, not {brief(key)}.")
        if key in keys:
            raise AnnotationError(f"{record}: the file_name {key!r} is taken by an earlier image.")
        if not (is_whole(width) and is_whole(height) and 1 <= width < 2**31 and 1 <= height < 2**31):
            raise AnnotationError(
                f"{record}: width and height must be whole numbers from 1, but they are {brief(width)} and "
                f"{brief(height)}."
            )
        keys.add(key)
        images[values["id"]] = _Image(key, width, height)
    return images


def _read_classes(records: list[dict[str, Any]], path: Path) -> dict[int, str]:
    classes: dict[int, str] = {}
    ids: set[int] = set()
    for index, values in enumerate(records):
        record = _record_name(path, "category", index, values)
        _check_new_id(values, ids, record)
        name = values.get("name")
        if not is_text(name):
            raise AnnotationError(f"{record}: name must be a text, but it is {brief(name)}.")
        classes[values["id"]] = name
    return classes


def _read_annotation(values: dict[str, Any], image: _Image, classes: dict[int, str], record: str) -> _Annotation:
    bbox, crowd, category = values.get("bbox"), values.get("iscrowd", 0), values.get("category_id")
    if not are_numbers(bbox, 4):
        raise AnnotationError(f"{record}: bbox must be [x, y, width, height] in pixels, but it is {brief(bbox)}.")
    if not is_whole(crowd) or crowd not in (0, 1):
        raise AnnotationError(f"{record}: iscrowd must be 0 or 1, but it is {brief(crowd)}.")
    if not is_whole(category) or category not in classes:
        raise AnnotationError(f"{record}: category_id {brief(category)} is none of the categories in the file.")
    x, y, width, height = (float(value) for value in bbox)
    if width < 0 or height < 0:
        raise AnnotationError(f"{record}: width and height of bbox must not be negative, but it is {brief(bbox)}.")
    box = (x, y, x + width, y + height)
    check_inside(box, image.width, image.height, record)
    return _Annotation(box, classes[category], crowd == 1)


def _truth(image: _Image, found: list[_Annotation]) -> GroundTruth:
    objects = [each for each in found if not each.crowd]
    exact = as_boxes([each.box_xyxy for each in objects])
    no_flags = np.zeros(len(objects), dtype=np.bool_)
    return GroundTruth(
        key=image.key,
        width=image.width,
        height=image.height,
        boxes_xyxy=np.rint(exact),  # halves to even, as Python's round() that LOST calls
        classes=tuple(each.class_name for each in objects),
        difficult=no_flags,
        truncated=no_flags,
        exact_boxes_xyxy=exact,
        crowd_boxes_xyxy=as_boxes([each.box_xyxy for each in found if each.crowd]),
    )


def _check_new_id(values: dict[str, Any], seen: set[int], record: str) -> None:
    if not is_whole(values.get("id")):
        raise AnnotationError(f"{record}: id must be a whole number, but it is {brief(values.get('id'))}.")
    if values["id"] in seen:
        raise AnnotationError(f"{record}: its id is taken by an earlier record.")
    seen.add(values["id"])


def _is_plain_path(key: str) -> bool:
    path = PurePosixPath(key)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


def _record_name(path: Path, kind: str, index: int, values: dict[str, Any]) -> str:
    return f"{path}, {kind} {brief(values['id'])}" if "id" in values else f"{path}, {kind} at position {index}"
