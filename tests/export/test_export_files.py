"""Exports with one file per picture, and the table: each read back by its own format's reader."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET

import pytest
from PIL import Image
from small_runs import DECODES_MASKS, found, mask_of, record, write_run

from lostreg.annotations import read_voc
from lostreg.export import export_run
from lostreg.export.csv_table import COLUMNS

pytestmark = DECODES_MASKS

ODD_KEYS = ("a.jpg", "a.png", "sub/a.jpg", 'q"<&>, é.jpg', "/abs.jpg", "../up.jpg")


@pytest.fixture
def run(tmp_path):
    records = [
        record("sub/b.jpg", [found((14, 14, 56, 42), score=0.9, hole=(28, 28, 35, 35)), found((0, 0, 80, 60))]),
        record("a.jpg", [found((7.5, 7.25, 70, 50.5), mask=False, seed=None)]),
        record("empty.jpg"),
    ]
    return write_run(tmp_path / "run", records)


@pytest.fixture
def odd_run(tmp_path):
    return write_run(tmp_path / "odd run", [record(key, [found((14, 14, 28, 28))]) for key in ODD_KEYS])


def files_below(folder):
    return sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file())


def test_yolo_lines_and_empty_files(run, tmp_path):
    done = export_run(run, "yolo", tmp_path / "out")
    assert done.path == tmp_path / "out"
    assert files_below(done.path) == ["data.yaml", "labels/a.txt", "labels/empty.txt", "labels/sub/b.txt"]
    assert (done.path / "labels/empty.txt").read_bytes() == b""
    # by hand: (14 + 56) / 2 / 80, (14 + 42) / 2 / 60, 42 / 80, 28 / 60
    assert (done.path / "labels/sub/b.txt").read_text().splitlines() == [
        "0 0.437500 0.466667 0.525000 0.466667",
        "0 0.500000 0.500000 1.000000 1.000000",
    ]


@pytest.mark.parametrize(("format", "folder"), [("yolo", "labels"), ("voc", "Annotations"), ("labelme", "labelme")])
def test_every_picture_has_a_file_of_its_own(odd_run, tmp_path, format, folder):
    export_run(odd_run, format, tmp_path / "out" / "deep")
    assert len(files_below(tmp_path / "out" / "deep" / folder)) == len(ODD_KEYS)
    assert {each.name for each in tmp_path.iterdir()} == {"odd run", "out"}  # nothing led outside


def test_voc_boxes_count_from_one_and_include_the_last_pixel(run, tmp_path):
    done = export_run(run, "voc", tmp_path)
    root = ET.parse(done.path / "sub" / "b.xml").getroot()
    bounds = [{edge.tag: int(edge.text) for edge in each} for each in root.iter("bndbox")]
    assert bounds == [
        {"xmin": 15, "ymin": 15, "xmax": 56, "ymax": 42},
        {"xmin": 1, "ymin": 1, "xmax": 80, "ymax": 60},
    ]
    assert (root.findtext("filename"), root.findtext("folder")) == ("b.jpg", "sub")
    assert [each.findtext("name") for each in root.iter("object")] == ["object", "object"]
    assert ET.parse(done.path / "empty.xml").getroot().findall("object") == []


def test_voc_comes_back_through_the_strict_reader(run, odd_run, tmp_path):
    folder = export_run(run, "voc", tmp_path / "plain").path
    truth = read_voc(folder / "sub" / "b.xml")
    assert truth.boxes_xyxy.tolist() == [[14, 14, 56, 42], [0, 0, 80, 60]]
    assert (truth.width, truth.height) == (80, 60)
    for path in export_run(odd_run, "voc", tmp_path / "odd").path.rglob("*.xml"):
        assert len(read_voc(path).boxes_xyxy) == 1


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.3, 0.3), (79.6, 59.7, 80.0, 60.0), (10.5, 10.5, 10.9, 11.4)])
def test_a_voc_box_keeps_at_least_one_pixel_inside_the_picture(tmp_path, box):
    run = write_run(tmp_path / "run", [record("a.jpg", [found(box, mask=False)])])
    x0, y0, x1, y1 = read_voc(export_run(run, "voc", tmp_path).path / "a.xml").boxes_xyxy[0]
    assert 0 <= x0 < x1 <= 80
    assert 0 <= y0 < y1 <= 60


def test_labelme_polygons_boxes_and_the_way_to_the_picture(tmp_path):
    picture = tmp_path / "pictures" / "b.png"
    picture.parent.mkdir()
    Image.new("RGB", (80, 60)).save(picture)
    objects = [found((14, 14, 56, 42)), found((0, 0, 7, 7), mask=False)]
    run = write_run(tmp_path / "run", [record("sub/b.png", objects, path=picture)])
    done = export_run(run, "labelme", tmp_path / "out")
    content = json.loads((done.path / "sub" / "b.json").read_text())
    assert [each["shape_type"] for each in content["shapes"]] == ["polygon", "rectangle"]
    assert content["shapes"][0]["points"] == [[14, 14], [14, 42], [56, 42], [56, 14]]
    assert content["shapes"][1]["points"] == [[0, 0], [7, 7]]
    assert [each["group_id"] for each in content["shapes"]] == [1, 2]
    assert {each["label"] for each in content["shapes"]} == {"object"}
    assert (done.path / "sub" / content["imagePath"]).resolve() == picture.resolve()
    assert (content["imageWidth"], content["imageHeight"], content["imageData"]) == (80, 60, None)

    boxes = export_run(run, "labelme", tmp_path / "boxes", shape="box")
    content = json.loads((boxes.path / "sub" / "b.json").read_text())
    assert [each["shape_type"] for each in content["shapes"]] == ["rectangle", "rectangle"]


def test_labelme_names_a_picture_that_is_no_file_by_its_name(tmp_path):
    run = write_run(tmp_path / "run", [record("film.mp4/frame000030", path="film.mp4:frame000030")])
    content = json.loads((export_run(run, "labelme", tmp_path).path / "film.mp4" / "frame000030.json").read_text())
    assert content["imagePath"] == "frame000030"


def test_csv_has_a_header_and_a_row_per_object(run, tmp_path):
    done = export_run(run, "csv", tmp_path)
    with done.path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, strict=True))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["key"], row["object"]) for row in rows] == [("sub/b.jpg", "1"), ("sub/b.jpg", "2"), ("a.jpg", "1")]
    assert [float(rows[0][name]) for name in ("x0", "y0", "x1", "y1", "score")] == [14, 14, 56, 42, 0.9]
    assert float(rows[0]["area"]) == mask_of((14, 14, 56, 42), 80, 60, (28, 28, 35, 35)).sum()
    assert (rows[0]["seed_x"], rows[2]["seed_x"]) == ("21.0", "")
    assert done.path.read_bytes().count(b"\r\n") == 4  # RFC 4180: CRLF, the last line too


def test_csv_quotes_what_needs_quotes(tmp_path):
    keys = ['a,"b"\nc.jpg', "lone\udcff.jpg"]
    run = write_run(tmp_path / "run", [record(key, [found((0, 0, 14, 14))]) for key in keys])
    with export_run(run, "csv", tmp_path).path.open(newline="", encoding="utf-8") as stream:
        read = [row["key"] for row in csv.DictReader(stream, strict=True)]
    assert read == ['a,"b"\ufffdc.jpg', "lone\ufffd.jpg"]
