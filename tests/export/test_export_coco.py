"""COCO exports, read back by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from small_runs import DECODES_MASKS, found, mask_of, record, write_run

from lostreg.errors import AnnotationError, RunError, UsageError
from lostreg.export import export_run
from lostreg.records import decode_mask

pytestmark = DECODES_MASKS


def opened(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def evaluated(truth, results, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = opened(truth)
        evaluation = COCOeval(loaded, loaded.loadRes(str(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.fixture
def run(tmp_path):
    records = [
        record("sub/b.jpg", [found((14, 14, 56, 42), score=0.9, hole=(28, 28, 35, 35)), found((0, 0, 14, 14))]),
        record("a.jpg", [found((7.5, 7.25, 70, 50.5), mask=False)]),
        record("empty.jpg"),
    ]
    return write_run(tmp_path / "run", records, failures=["broken.jpg"])


def test_all_images_are_listed_and_counted(run, tmp_path):
    done = export_run(run, "coco", tmp_path / "out")
    assert (done.path, done.images, done.objects, done.failed) == (tmp_path / "out" / "instances.json", 3, 3, 1)
    loaded = opened(done.path)
    assert {each["file_name"]: each["id"] for each in loaded.imgs.values()} == {
        "a.jpg": 1,
        "empty.jpg": 2,
        "sub/b.jpg": 3,
    }
    assert all((each["width"], each["height"]) == (80, 60) for each in loaded.imgs.values())
    assert loaded.cats == {1: {"id": 1, "name": "object", "supercategory": ""}}
    assert sorted(loaded.anns) == [1, 2, 3]


def test_masks_boxes_and_areas_come_back_equal(run, tmp_path):
    loaded = opened(export_run(run, "coco", tmp_path).path)
    holed, corner, boxed = loaded.loadAnns([1, 2, 3])
    assert holed["area"] == 42 * 28 - 7 * 7  # by hand: the box less its hole, not the box
    assert corner["area"] == 14 * 14
    assert boxed["area"] == pytest.approx(62.5 * 43.25)
    assert [each["iscrowd"] for each in (holed, corner, boxed)] == [0, 0, 0]
    assert holed["bbox"] == [14, 14, 42, 28]
    assert boxed["bbox"] == [7.5, 7.25, 62.5, 43.25]
    expected = mask_of((14, 14, 56, 42), 80, 60, (28, 28, 35, 35))
    assert np.array_equal(loaded.annToMask(holed), expected)
    assert np.array_equal(decode_mask(holed["segmentation"]), expected)


def test_polygons_cover_the_mask_with_its_holes_filled(run, tmp_path):
    loaded = opened(export_run(run, "coco", tmp_path, shape="polygon").path)
    holed = loaded.anns[1]
    assert holed["segmentation"] == [[14, 14, 14, 42, 56, 42, 56, 14]]
    assert np.array_equal(loaded.annToMask(holed), mask_of((14, 14, 56, 42), 80, 60))
    assert holed["area"] == 42 * 28 - 7 * 7  # still the mask's


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_an_export_against_itself_is_perfect(tmp_path, kind):
    rng = np.random.default_rng(1)
    records = []
    for number in range(12):
        x, y = 14 * rng.integers(0, 3, 2)
        objects = [found((x, y, x + 28, y + 14), score=0.8), found((42, 42, 70, 56), score=0.6)]
        records.append(record(f"{number}.jpg", objects[: number % 3]))
    run = write_run(tmp_path / "run", records)
    truth, results = (export_run(run, name, tmp_path / "out").path for name in ("coco", "coco-results"))
    stats = evaluated(truth, results, kind)
    assert stats[0] == pytest.approx(1.0)  # AP
    assert stats[8] == pytest.approx(1.0)  # AR with 100 detections


def test_results_carry_score_and_mask(run, tmp_path):
    first, *_, boxed = json.loads(export_run(run, "coco-results", tmp_path).path.read_text())
    assert (first["image_id"], first["category_id"], first["score"]) == (3, 1, 0.9)
    assert first["segmentation"]["size"] == [60, 80]
    assert boxed["image_id"] == 1


def test_results_take_the_ids_of_another_dataset(run, tmp_path):
    instances = {
        "images": [
            {"id": number, "file_name": name, "width": 80, "height": 60}
            for number, name in ((100, "a.jpg"), (7, "sub/b.jpg"), (8, "empty.jpg"), (9, "not-run.jpg"))
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path = tmp_path / "official.json"
    path.write_text(json.dumps(instances))
    done = export_run(run, "coco-results", tmp_path / "out", annotations=path)
    assert [each["image_id"] for each in json.loads(done.path.read_text())] == [7, 7, 100]

    instances["images"].pop(0)
    path.write_text(json.dumps(instances))
    with pytest.raises(RunError, match=r"1 of 3 pictures of the run, such as a\.jpg, are not in"):
        export_run(run, "coco-results", tmp_path / "out", annotations=path)
    with pytest.raises(UsageError, match="makes no sense with coco"):
        export_run(run, "coco", tmp_path / "out", annotations=path)
    path.write_text("{")
    with pytest.raises(AnnotationError, match="not a JSON file"):
        export_run(run, "coco-results", tmp_path / "out", annotations=path)


def test_a_run_without_objects_is_valid_json(tmp_path):
    run = write_run(tmp_path / "run", [record("a.jpg")])
    assert opened(export_run(run, "coco", tmp_path).path).getAnnIds() == []
    assert json.loads(export_run(run, "coco-results", tmp_path).path.read_text()) == []


def test_an_empty_run_is_valid_json(tmp_path):
    run = write_run(tmp_path / "run", [])
    loaded = json.loads(export_run(run, "coco", tmp_path).path.read_text())
    assert (loaded["images"], loaded["annotations"]) == ([], [])
