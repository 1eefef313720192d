"""Pascal VOC: one XML per picture, boxes in whole pixels that count from 1, the last one inside.

A box from 0 to 14 covers the pixels 0 to 13 and is written ``xmin`` 1, ``xmax`` 14. Edges between pixels are
rounded to the nearest; a box keeps at least one pixel.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path, PurePosixPath

from lostreg.export.base import CLASS_NAME, Format, Job
from lostreg.export.names import file_names, legible
from lostreg.export.tree import written_tree
from lostreg.records import Record, RecordedObject


def write(job: Job) -> Path:
    """Write ``Annotations/`` and return it."""
    names = file_names(job.image_ids, ".xml")
    target = job.output / "Annotations"
    with written_tree(target) as folder:
        for record in job.records():
            path = folder / names[record.key]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(annotation_of(record, path.stem))
    return target


def annotation_of(record: Record, stem: str) -> bytes:
    """Return the XML of one picture, in UTF-8; ``stem`` is the name of its file."""
    root = ET.Element("annotation")
    key = PurePosixPath(legible(record.key))
    _add(root, "folder", key.parent.name)
    # Readers find the picture by this name, and refuse one that has nothing to do with the XML's own.
    _add(root, "filename", key.name if stem in {key.name, key.stem} else stem + key.suffix)
    _add(root, "path", legible(record.path))
    size = ET.SubElement(root, "size")
    for name, value in (("width", record.width), ("height", record.height), ("depth", 3)):
        _add(size, name, value)
    _add(root, "segmented", 0)
    for each in record.objects:
        root.append(_object(each, record))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _object(each: RecordedObject, record: Record) -> ET.Element:
    found = ET.Element("object")
    _add(found, "name", CLASS_NAME)
    _add(found, "pose", "Unspecified")
    _add(found, "truncated", 0)
    _add(found, "difficult", 0)
    x0, y0, x1, y1 = each.bbox_xyxy
    xmin, xmax = _inclusive(x0, x1, record.width)
    ymin, ymax = _inclusive(y0, y1, record.height)
    bounds = ET.SubElement(found, "bndbox")
    for name, value in (("xmin", xmin), ("ymin", ymin), ("xmax", xmax), ("ymax", ymax)):
        _add(bounds, name, value)
    return found


def _inclusive(start: float, end: float, side: int) -> tuple[int, int]:
    first = min(round(start), side - 1)
    return first + 1, max(round(end), first + 1)


def _add(parent: ET.Element, name: str, value: object) -> None:
    ET.SubElement(parent, name).text = str(value)


FORMAT = Format(name="voc", summary="Pascal VOC Annotations/*.xml", write=write)
