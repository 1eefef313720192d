"""The page of a run: what it says, what it shows, and that it asks nobody for anything."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from small_runs import DECODES_MASKS, found, record, write_run
from support import picture

from lostreg.datasets import open_dataset
from lostreg.errors import AnnotationError, RunError
from lostreg.report import PICTURES, write_report
from lostreg.report.gallery import LONGEST, Group, draw_groups, sample
from lostreg.report.maps import map_maker

pytestmark = DECODES_MASKS

XML = """<annotation><filename>{name}</filename><size><width>80</width><height>60</height></size>
<object><name>{kind}</name><bndbox><xmin>15</xmin><ymin>15</ymin><xmax>56</xmax><ymax>42</ymax></bndbox></object>
</annotation>"""


class Page(HTMLParser):
    """Collects elements, their attributes and the text of a page."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.attributes, self.texts = [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)

    @property
    def pictures(self):
        sources = [value for name, value in self.attributes if name == "src"]
        data = [base64.b64decode(source.removeprefix("data:image/jpeg;base64,")) for source in sources]
        return [Image.open(io.BytesIO(each)) for each in data]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        picture(folder / name)
    return folder


@pytest.fixture
def run(tmp_path, pictures):
    records = [
        record("a.png", [found((14, 14, 56, 42), score=0.9)], path=pictures / "a.png"),
        record("b.png", [found((0, 0, 14, 14), score=0.2), found((14, 0, 28, 14))], path=pictures / "b.png"),
        record("c.png", path=pictures / "c.png"),
    ]
    return write_run(tmp_path / "run", records, failures=["broken.jpg"])


@pytest.fixture
def dataset(pictures):
    for name, kind in (("a", "cat"), ("b", "dog"), ("c", "dog")):
        (pictures / f"{name}.xml").write_text(XML.format(name=f"{name}.png", kind=kind))
    return open_dataset("folder", pictures)


def test_the_page_tells_counts_failures_and_settings(run, tmp_path):
    page = Page(write_report(run, tmp_path / "page.html"))
    for words in ("Objects in run", "1 failed", "on 2 pictures", "damaged", "broken.jpg is damaged.", "method"):
        assert words in page.text
    assert "CorLoc" not in page.text
    assert len(page.pictures) == 3


def test_with_a_dataset_the_figures_are_those_of_the_evaluation(run, dataset, tmp_path):
    page = Page(write_report(run, tmp_path / "page.html", dataset=dataset))
    # by hand: a.png is hit exactly, b.png misses, c.png has no box and is a miss: 1 of 3
    for words in ("33.33\u00a0%", "1 of 3", "Against folder", "hit, IoU 1.00", "missed, IoU 0.00"):
        assert words in page.text
    at = page.texts.index("without a box (misses)")
    assert page.texts[at + 1] == "1"
    assert page.texts[page.texts.index("cat") + 1 : page.texts.index("cat") + 3] == ["100.0", "1 of 1"]
    assert page.texts[page.texts.index("dog") + 1 : page.texts.index("dog") + 3] == ["0.0", "0 of 2"]


def test_the_page_asks_nobody_for_anything(run, dataset, tmp_path):
    page = Page(write_report(run, tmp_path / "page.html", dataset=dataset))
    assert {"script", "link", "iframe", "object", "a"}.isdisjoint(page.elements)
    linked = [value for name, value in page.attributes if name in {"src", "href", "srcset", "action"}]
    assert linked
    assert all(value.startswith("data:image/jpeg;base64,") for value in linked)
    assert "url(" not in (tmp_path / "page.html").read_text()
    assert any("default-src 'none'" in (value or "") for _, value in page.attributes)


def test_names_of_files_stay_text(tmp_path):
    evil = '<img src=x onerror="alert(1)">&\'.png'
    run = write_run(tmp_path / "<b>run", [record(evil, [found((0, 0, 14, 14))])], failures=["<script>alert(2)"])
    page = Page(write_report(run, tmp_path / "page.html"))
    assert "script" not in page.elements
    assert all(not name.startswith("on") for name, _ in page.attributes)
    assert evil in page.texts
    assert "<script>alert(2) is damaged." in page.texts


def test_a_long_run_stays_within_24_pictures_and_5_megabytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    records = [record(f"{number}.png", [], width=900, height=900, path=path) for number in range(60)]
    output = write_report(write_run(tmp_path / "run", records), tmp_path / "page.html")
    page = Page(output)
    assert len(page.pictures) == PICTURES
    assert {shown.size for shown in page.pictures} == {(LONGEST, LONGEST)}
    assert output.stat().st_size < 5e6  # of noise, which JPEG compresses worst


def test_no_picture_is_shown_twice(tmp_path):
    records = [record(f"{number}.png", [found((0, 0, 14, 14), score=number / 30)]) for number in range(30)]
    page = Page(write_report(write_run(tmp_path / "run", records), tmp_path / "page.html"))
    shown = [value for name, value in page.attributes if name == "alt"]
    assert len(shown) == len(set(shown)) == PICTURES


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (lambda path: path.unlink(), "No file at"),
        (lambda path: picture(path, size=(40, 30)), "has changed since the run: it was 80 x 60 pixels then."),
        (lambda path: path.write_bytes(b"text"), "is not a picture"),
    ],
)
def test_a_photograph_that_is_not_at_hand_is_said_and_its_boxes_are_shown(tmp_path, pictures, prepare, sentence):
    path = pictures / "a.png"
    run = write_run(tmp_path / "run", [record("a.png", [found((14, 14, 56, 42))], path=path)])
    prepare(path)
    page = Page(write_report(run, tmp_path / "page.html"))
    assert sentence in page.text
    assert page.pictures[0].size == (80, 60)


def test_a_photograph_that_moved_is_found_in_the_dataset(tmp_path, dataset):
    run = write_run(tmp_path / "run", [record("a.png", [found((14, 14, 56, 42))], path="/gone/a.png")])
    assert "No file at" not in Page(write_report(run, tmp_path / "page.html", dataset=dataset)).text


def test_annotated_boxes_are_drawn_on_the_picture_scaled_with_it(tmp_path):
    path = tmp_path / "black.png"
    Image.new("RGB", (960, 480)).save(path)
    run = write_run(tmp_path / "run", [record("k", width=960, height=480, path=path)])
    boxes = {"k": np.array([[240.0, 120.0, 720.0, 360.0]])}
    (section,) = draw_groups(run, [Group("g", {"k": ""})], paths={}, truths_xyxy=boxes, make_maps=None)
    data = section.split("base64,")[1].split('"')[0]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    rows, cols = np.nonzero(shown.min(axis=2) > 150)
    edges = (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
    assert shown.shape == (240, 480, 3)
    assert np.abs(np.array(edges) - (120, 60, 360, 180)).max() <= 2


def test_a_sample_depends_on_the_keys_and_the_seed_alone():
    keys = [f"{number}" for number in range(50)]
    assert sample(keys, 5, 1) == sample(keys[::-1], 5, 1) != sample(keys, 5, 2)
    assert sample(keys, 99, 0) == sorted(keys)
    assert sample([], 5, 0) == []


def test_a_run_without_pictures_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds no picture yet"):
        write_report(write_run(tmp_path / "run", []), tmp_path / "page.html")


def test_a_page_that_cannot_be_written_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"Cannot write .*; name another file with --output"):
        write_report(run, tmp_path / "file" / "page.html")


def test_a_dataset_of_other_pictures_is_refused(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    picture(other / "z.png")
    (other / "z.xml").write_text(XML.format(name="z.png", kind="cat"))
    with pytest.raises(AnnotationError, match="None of the 3 pictures"):
        write_report(run, tmp_path / "page.html", dataset=open_dataset("folder", other))


def test_maps_need_the_settings_of_the_run(run, tmp_path):
    with pytest.raises(RunError, match=r"lacks 'model'; leave --maps out"):
        write_report(run, tmp_path / "page.html", maps=True)


@pytest.mark.weights
def test_maps_are_those_of_the_run_s_own_weights(discoverer, tmp_path, pictures):
    from lostreg.cli import main

    command = ["discover", str(pictures), "--output", str(tmp_path / "run"), "--quiet", "--device", "cpu"]
    assert main([*command, "--method", "lost"]) == 0
    page = Page(write_report(tmp_path / "run", tmp_path / "page.html", maps=True))
    assert len(page.pictures) == 3 * (1 + 3)
    assert page.texts.count("seed similarity") == 3

    header = json.loads((tmp_path / "run" / "run.json").read_text())
    with pytest.raises(RunError, match="needs the weights of the run"):
        map_maker(header["identity"] | {"weights_sha256": "0" * 64})
