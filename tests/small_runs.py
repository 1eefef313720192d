"""Small runs written through RunFolder, as the tests of exports and of the report need them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lostreg.records import Record, RecordedObject, encode_mask
from lostreg.runfolder import RunFolder

DECODES_MASKS = pytest.mark.filterwarnings(
    # pycocotools 2.0.11 converts arrays in NumPy 1's way when it decodes a mask
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

IDENTITY = {"settings": {"method": "lost"}}


def mask_of(box, width, height, hole=None):
    """Return a mask that fills a box of whole pixels, but for a hole."""
    mask = np.zeros((height, width), np.bool_)
    for (x0, y0, x1, y1), value in ((box, True), (hole, False)):
        mask[y0:y1, x0:x1] = value
        if hole is None:
            break
    return mask


def found(box, width=80, height=60, *, score=0.5, seed=(21.0, 21.0), hole=None, mask=True):
    """Return an object whose mask fills its box, but for a hole."""
    encoded = encode_mask(mask_of(box, width, height, hole)) if mask else None
    return RecordedObject(tuple(float(edge) for edge in box), score, encoded, seed)


def record(key, objects=(), *, width=80, height=60, path=None):
    """Return a record of a picture of 80 x 60 pixels."""
    where = f"/pictures/{key}" if path is None else str(path)
    return Record(key, where, width, height, 1, tuple(objects), (4, 5), "fingerprint", {"vit": 12.0})


def write_run(folder: Path, records, failures=()) -> Path:
    """Write a run folder and return it."""
    with RunFolder(folder, IDENTITY) as run:
        for each in records:
            run.add(each)
        for key in failures:
            run.fail(key, f"/pictures/{key}", "damaged", f"{key} is damaged.")
    return folder
