"""The exports as the supervision package reads them: it is the reader that many users have."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image
from small_runs import found, mask_of, record, write_run

from lostreg.export import export_run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import supervision as sv

BOXES = {"a.png": [(14, 14, 56, 42), (0, 0, 80, 60)], "b.png": [(7, 0, 21, 28)], "empty.png": []}
HOLE = (28, 28, 35, 35)

pytestmark = pytest.mark.filterwarnings("ignore")  # supervision's own warnings are not ours to mend


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in BOXES:
        Image.new("RGB", (80, 60)).save(folder / name)
    return folder


@pytest.fixture
def run(tmp_path, pictures):
    records = [
        record(key, [found(box, hole=HOLE if box == (14, 14, 56, 42) else None) for box in boxes], path=pictures / key)
        for key, boxes in BOXES.items()
    ]
    return write_run(tmp_path / "run", records)


def boxes_of(dataset):
    read = {path.rsplit("/", 1)[-1]: each.xyxy for path, _, each in dataset}
    return {key: sorted(map(tuple, np.rint(boxes).astype(int).tolist())) for key, boxes in read.items()}


def expected():
    return {key: sorted(boxes) for key, boxes in BOXES.items()}


def test_coco(run, pictures, tmp_path):
    path = export_run(run, "coco", tmp_path / "out").path
    dataset = sv.DetectionDataset.from_coco(str(pictures), str(path), force_masks=True)
    assert dataset.classes == ["object"]
    assert boxes_of(dataset) == expected()
    masks = next(each.mask for file, _, each in dataset if file.endswith("a.png"))
    assert np.array_equal(masks[0], mask_of((14, 14, 56, 42), 80, 60, HOLE))


def test_yolo(run, pictures, tmp_path):
    folder = export_run(run, "yolo", tmp_path / "out").path
    dataset = sv.DetectionDataset.from_yolo(str(pictures), str(folder / "labels"), str(folder / "data.yaml"))
    assert dataset.classes == ["object"]
    assert boxes_of(dataset) == expected()


def test_voc(run, pictures, tmp_path):
    folder = export_run(run, "voc", tmp_path / "out").path
    dataset = sv.DetectionDataset.from_pascal_voc(str(pictures), str(folder))
    assert dataset.classes == ["object"]
    assert boxes_of(dataset) == expected()


def test_labelme(run, pictures, tmp_path):
    folder = export_run(run, "labelme", tmp_path / "out", shape="box").path
    dataset = sv.DetectionDataset.from_labelme(str(pictures), str(folder))
    assert boxes_of(dataset) == expected()
