"""VOC's XML: one file per picture.

What is accepted although it deviates, because no figure depends on it or only one reading makes sense:

* a missing ``difficult`` or ``truncated`` counts as 0, as most writers leave them out;
* coordinates may be fractions (VOC2012 has some) and leave the picture by up to 2 pixels;
* ``part`` boxes and all other elements are not read;
* a picture without objects.

Document types, and with them entities, are refused before any is expanded.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from lostreg.annotations.strict import LARGEST
from lostreg.annotations.truth import GroundTruth, as_boxes, check_inside
from lostreg.errors import AnnotationError

_EDGES = ("xmin", "ymin", "xmax", "ymax")


class _Builder(ET.TreeBuilder):
    """Builds the tree, but stops at a document type, the door of entity bombs and of foreign files."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which an annotation never needs")


def read_voc(path: Path, key: str | None = None) -> GroundTruth:
    """Read the annotation of one picture.

    Args:
        path: the XML file; the ``filename`` in it must have the same stem.
        key: the picture's name within its dataset; ``None`` takes the ``filename``.

    Raises:
        AnnotationError: the file cannot be read or one of its objects is damaged.
    """
    root = _parse(path)
    name = _checked_name(root, path)
    width, height = (_side(root, side, path) for side in ("width", "height"))
    objects = root.findall("object")
    records = [f"{path}, object {number}" for number in range(1, len(objects) + 1)]
    boxes = as_boxes([_box(each, width, height, record) for each, record in zip(objects, records, strict=True)])
    flags = {
        flag: np.array([_flag(each, flag, record) for each, record in zip(objects, records, strict=True)], dtype=bool)
        for flag in ("difficult", "truncated")
    }
    classes = tuple(_text(each, "name", record) for each, record in zip(objects, records, strict=True))
    return GroundTruth(
        key or name, width, height, boxes, classes, **flags, exact_boxes_xyxy=boxes, crowd_boxes_xyxy=as_boxes([])
    )


def _parse(path: Path) -> ET.Element:
    try:
        if path.exists() and not path.is_file():  # a pipe would keep the reader waiting
            raise AnnotationError(f"Cannot read {path}: it is no regular file.")
        root = ET.fromstring(path.read_bytes(), parser=ET.XMLParser(target=_Builder()))
    except FileNotFoundError:
        raise AnnotationError(f"No annotation file at {path}.") from None
    except OSError as error:
        raise AnnotationError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ET.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        raise AnnotationError(f"{path} is not a VOC annotation: {error}.") from error
    if root.tag != "annotation":
        raise AnnotationError(f"{path} is not a VOC annotation: its root is <{root.tag[:40]}>, not <annotation>.")
    return root


def _checked_name(root: ET.Element, path: Path) -> str:
    name = _text(root, "filename", str(path))
    if path.stem not in (name, Path(name).stem):
        raise AnnotationError(f"{path} says that it is the annotation of {name!r}; rename the one or the other.")
    return name


def _side(root: ET.Element, side: str, path: Path) -> int:
    size = _only_child(root, "size", str(path))
    value = _number(_text(size, side, str(path)), side, str(path))
    if value < 1 or value != int(value):
        raise AnnotationError(f"{path}: the {side} must be a whole number from 1, but it is {value:g}.")
    return int(value)


def _box(element: ET.Element, width: int, height: int, record: str) -> tuple[float, float, float, float]:
    bounds = _only_child(element, "bndbox", record)
    xmin, ymin, xmax, ymax = (_number(_text(bounds, edge, record), edge, record) for edge in _EDGES)
    if xmax < xmin or ymax < ymin:
        raise AnnotationError(
            f"{record}: the box must not end before it begins, but it goes from ({xmin:g}, {ymin:g}) to "
            f"({xmax:g}, {ymax:g})."
        )
    box = (xmin - 1, ymin - 1, xmax, ymax)
    check_inside(box, width, height, record)
    return box


def _flag(element: ET.Element, name: str, record: str) -> bool:
    if element.find(name) is None:
        return False
    text = _text(element, name, record)
    if text not in ("0", "1"):
        raise AnnotationError(f"{record}: <{name}> must be 0 or 1, but it is {text[:40]!r}.")
    return text == "1"


def _text(element: ET.Element, name: str, record: str) -> str:
    text = (_only_child(element, name, record).text or "").strip()
    if not text:
        raise AnnotationError(f"{record}: <{name}> is empty.")
    return text


def _only_child(element: ET.Element, name: str, record: str) -> ET.Element:
    found = element.findall(name)
    if len(found) != 1:
        raise AnnotationError(f"{record}: expected one <{name}> in <{element.tag[:40]}>, but there are {len(found)}.")
    return found[0]


def _number(text: str, name: str, record: str) -> float:
    try:
        if "_" in text:  # Python reads 1_0 as 10
            raise ValueError
        value = float(text)
    except ValueError:
        raise AnnotationError(f"{record}: <{name}> must be a number, but it is {text[:40]!r}.") from None
    if not abs(value) < LARGEST:
        raise AnnotationError(f"{record}: <{name}> must be a finite number of pixels, but it is {text[:40]!r}.")
    return value
