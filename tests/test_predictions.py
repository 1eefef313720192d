from __future__ import annotations

import json

import pytest
from small_runs import found, record, write_run

from lostreg.errors import AnnotationError, RunError
from lostreg.layout import HEADER, RECORDS
from lostreg.predictions import read_predictions
from lostreg.records import Record


def write(tmp_path, content):
    path = tmp_path / "predictions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# Run folders


def test_a_run_keeps_the_order_of_its_objects(tmp_path):
    objects = [found((10, 10, 20, 30), score=0.2), found((0, 0, 5, 5), score=0.9)]
    path = write_run(tmp_path / "run", [record("a.jpg", objects), record("b.jpg")], failures=["c.jpg"])
    images = read_predictions(path, {}).images
    assert images["a.jpg"].boxes_xyxy.tolist() == [[10, 10, 20, 30], [0, 0, 5, 5]]
    assert images["a.jpg"].scores.tolist() == [0.2, 0.9]
    assert images["a.jpg"].wh == (80, 60)
    assert images["b.jpg"].boxes_xyxy.shape == (0, 4)
    assert list(images) == ["a.jpg", "b.jpg"]


def turned(upright):
    return Record("a.jpg", "a.jpg", 80, 60, 6, (found((0, 0, 5, 5)),), (4, 5), "fingerprint", upright=upright)


def test_boxes_of_a_turned_picture_are_not_compared_in_silence(tmp_path):
    assert read_predictions(write_run(tmp_path / "stored", [turned(upright=False)]), {}).images.keys() == {"a.jpg"}
    path = write_run(tmp_path / "displayed", [turned(upright=True)])
    with pytest.raises(AnnotationError, match=r"records\.jsonl, line 1 \(a\.jpg\).*discover again with --dataset"):
        read_predictions(path, {})


@pytest.mark.parametrize("box", [(5, 0, 5, 10), (9, 0, 5, 10), (0, 0, float("nan"), 5), (0, 0, float("inf"), 5)])
def test_impossible_boxes_of_a_run_are_refused(tmp_path, box):
    path = write_run(tmp_path / "run", [record("b.jpg"), record("a.jpg", [found((0, 0, 5, 5))])])
    lines = (path / RECORDS).read_text().splitlines()
    values = json.loads(lines[1])
    values["objects"][0]["bbox_xyxy"] = box
    (path / RECORDS).write_text(f"{lines[0]}\n{json.dumps(values)}\n")
    with pytest.raises(RunError, match=r"records\.jsonl, line 2: A record garbles a field: bbox_xyxy"):
        read_predictions(path, {})


def test_a_picture_with_two_records_is_refused(tmp_path):
    path = write_run(tmp_path / "run", [record("a.jpg")])
    (path / RECORDS).write_text((path / RECORDS).read_text() * 2)
    with pytest.raises(AnnotationError, match=r"line 2 \(a\.jpg\): the picture has a record on an earlier line"):
        read_predictions(path, {})


def test_what_is_no_run_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match=HEADER):
        read_predictions(tmp_path, {})


# COCO results


def test_coco_results_become_corners_in_the_order_of_the_file(tmp_path):
    path = write(
        tmp_path,
        [
            {"image_id": 9, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.25},
            {"image_id": 4, "bbox": [-3.5, 1, 2, 2], "score": -7},
            {"image_id": 9, "category_id": 2, "bbox": [1, 1, 1, 1], "score": 0.5},
        ],
    )
    images = read_predictions(path, {9: "nine.jpg"}).images
    assert images["nine.jpg"].boxes_xyxy.tolist() == [[10, 20, 40, 60], [1, 1, 2, 2]]
    assert images["nine.jpg"].scores.tolist() == [0.25, 0.5]
    assert images["image_id 4"].boxes_xyxy.tolist() == [[-3.5, 1, -1.5, 3]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_id": "9"}, "image_id must be a whole number"),
        ({"image_id": 9.0}, "image_id must be a whole number"),
        ({"bbox": [1, 2, 3]}, "expected bbox"),
        ({"bbox": [1, 2, 3, None]}, "expected bbox"),
        ({"bbox": [1, 2, 0, 4]}, "have a size"),
        ({"bbox": [1, 2, 3, -4]}, "have a size"),
        ({"score": None}, "and a score"),
        ({"score": "0.5"}, "and a score"),
        ({"score": True}, "and a score"),
    ],
)
def test_damaged_results_are_refused_by_name(tmp_path, change, says):
    good = {"image_id": 9, "bbox": [1, 2, 3, 4], "score": 0.5}
    with pytest.raises(AnnotationError, match=rf"predictions\.json, entry 1.*{says}"):
        read_predictions(write(tmp_path, [good, good | change]), {9: "nine.jpg"})


@pytest.mark.parametrize("score", ["NaN", "Infinity", "1e999"])
def test_scores_that_are_not_finite_are_refused(tmp_path, score):
    text = f'[{{"image_id": 9, "bbox": [1, 2, 3, 4], "score": {score}}}]'
    with pytest.raises(AnnotationError, match=r"predictions\.json"):
        read_predictions(write(tmp_path, text), {9: "nine.jpg"})


def test_results_need_a_dataset_with_image_ids(tmp_path):
    path = write(tmp_path, [{"image_id": 9, "bbox": [1, 2, 3, 4], "score": 0.5}])
    with pytest.raises(AnnotationError, match="names pictures by COCO's image ids, but the dataset has none"):
        read_predictions(path, {})


def test_an_empty_list_predicts_nothing(tmp_path):
    assert read_predictions(write(tmp_path, []), {}).images == {}


# One box per picture


def test_single_boxes(tmp_path):
    images = read_predictions(write(tmp_path, {"000005.jpg": [96, 144, 480, 368.5]}), {}).images
    assert images["000005.jpg"].boxes_xyxy.tolist() == [[96, 144, 480, 368.5]]
    assert images["000005.jpg"].wh is None


@pytest.mark.parametrize(
    "box", [None, [], [1, 2, 3], [1, 2, 1, 4], [5, 2, 1, 4], [[1, 2, 3, 4]], ["1", 2, 3, 4], [1, 2, 1e300, 4]]
)
def test_damaged_single_boxes_are_refused_by_name(tmp_path, box):
    with pytest.raises(AnnotationError, match=r"predictions\.json, 'b\.jpg': "):
        read_predictions(write(tmp_path, {"a.jpg": [1, 2, 3, 4], "b.jpg": box}), {})


def test_a_picture_named_twice_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"predictions\.json: an object names 'a\.jpg' twice"):
        read_predictions(write(tmp_path, '{"a.jpg": [1, 2, 3, 4], "a.jpg": [1, 2, 3, 5]}'), {})


@pytest.mark.parametrize("content", ["5", '"text"', "null", "{", ""])
def test_other_files_are_refused(tmp_path, content):
    with pytest.raises(AnnotationError, match=r"predictions\.json"):
        read_predictions(write(tmp_path, content), {})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"No file at .*gone\.json"):
        read_predictions(tmp_path / "gone.json", {})
