"""YOLO: one text file per picture, ``class cx cy width height`` as shares of the picture; the class is 0.

Pictures without objects get an empty file, which trainers read as background. Labels belong to the pictures of
the same name: put them, or a link to their folder, as ``images`` beside ``labels``, and train with ``data.yaml``.
"""

from __future__ import annotations

from pathlib import Path

from lostreg.errors import RunError
from lostreg.export.base import CLASS_NAME, Format, Job
from lostreg.export.names import file_names
from lostreg.export.tree import write_file, written_tree
from lostreg.files import write_text_whole
from lostreg.records import Record, RecordedObject

# Without `path`, Ultralytics counts `train` and `val` from the folder of data.yaml.
_DATA = f"""train: images
val: images
nc: 1
names:
  0: {CLASS_NAME}
"""


def write(job: Job) -> Path:
    """Write ``labels/`` and ``data.yaml``; return the folder of both."""
    names = file_names(job.image_ids, ".txt")
    table = job.output / "data.yaml"
    if table.exists() and table.read_bytes() != _DATA.encode():
        raise RunError(f"{table} is there already and of another dataset; choose another --output.")
    with written_tree(job.output / "labels") as folder:
        for record in job.records():
            write_file(folder / names[record.key], "".join(_line(each, record) for each in record.objects))
        write_text_whole(table, _DATA)  # within, so that what keeps it out leaves no labels
    return job.output


def _line(each: RecordedObject, record: Record) -> str:
    x0, y0, x1, y1 = each.bbox_xyxy
    centre_x, centre_y = (x0 + x1) / 2 / record.width, (y0 + y1) / 2 / record.height
    width, height = (x1 - x0) / record.width, (y1 - y0) / record.height
    return f"0 {centre_x:.6f} {centre_y:.6f} {width:.6f} {height:.6f}\n"


FORMAT = Format(name="yolo", summary="YOLO labels/*.txt and data.yaml", write=write)
