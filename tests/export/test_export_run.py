"""The door of the exports: refusals, and nothing half written."""

from __future__ import annotations

import pytest
from small_runs import DECODES_MASKS, found, record, write_run

from lostreg.errors import RunError, UsageError
from lostreg.export import FORMATS, export_run

pytestmark = DECODES_MASKS

TREES = {"yolo": "labels", "voc": "Annotations", "labelme": "labelme"}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [record("a.jpg", [found((14, 14, 28, 28))]), record("b.jpg")])


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_counts_and_leaves_nothing_temporary(run, tmp_path, format):
    done = export_run(run, format, tmp_path / "out")
    assert (done.images, done.objects, done.failed) == (2, 1, 0)
    assert done.path.exists()
    assert not [each for each in (tmp_path / "out").rglob("*") if ".part" in each.name]


@pytest.mark.parametrize(("format", "folder"), TREES.items())
def test_labels_of_two_runs_do_not_mix(run, tmp_path, format, folder):
    (tmp_path / "out" / folder).mkdir(parents=True)  # an empty folder is no export
    export_run(run, format, tmp_path / "out")
    other = write_run(tmp_path / "other", [record("z.jpg")])
    with pytest.raises(RunError, match="is there already; delete it"):
        export_run(other, format, tmp_path / "out")
    assert len(list((tmp_path / "out" / folder).iterdir())) == 2


@pytest.mark.parametrize("format", ["coco", "coco-results", "csv"])
def test_a_single_file_replaces_the_older_one(run, tmp_path, format):
    before = export_run(run, format, tmp_path).path.read_bytes()
    other = write_run(tmp_path / "other", [record("z.jpg", [found((0, 0, 14, 14), score=0.1)] * 2)])
    assert export_run(other, format, tmp_path).path.read_bytes() != before


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_run_leaves_nothing_behind(run, tmp_path, format):
    with (run / "records.jsonl").open("ab") as stream:
        stream.write(b'{"key": "c.jpg"}\n')
    with pytest.raises(RunError, match=r"records\.jsonl, line 3: A record lacks"):
        export_run(run, format, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_an_error_half_way_leaves_nothing_behind(run, tmp_path, format, monkeypatch):
    real = run / "records.jsonl"

    def stops_after_one(job):
        from lostreg.runreader import read_records

        yield next(read_records(real.parent))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lostreg.export.Job.records", stops_after_one)
    with pytest.raises(RunError, match=r"Cannot write the export to .*: No space left on device; free the disk"):
        export_run(run, format, tmp_path / "out")
    assert [each for each in (tmp_path / "out").rglob("*") if each.is_file()] == []


def test_a_key_held_twice_is_refused(tmp_path):
    run = write_run(tmp_path / "run", [record("a.jpg"), record("a.jpg")])
    with pytest.raises(RunError, match=r"holds the picture a\.jpg twice"):
        export_run(run, "coco", tmp_path / "out")


@pytest.mark.parametrize(
    ("format", "shape", "sentence"),
    [
        ("pdf", None, r"--format must be one of coco, .*, but it is 'pdf'"),
        ("coco", "box", "--shape of coco must be one of mask, polygon, but it is 'box'"),
        ("yolo", "mask", "--shape of yolo must be one of box, but it is 'mask'"),
    ],
)
def test_what_makes_no_sense_is_refused(run, tmp_path, format, shape, sentence):
    with pytest.raises(UsageError, match=sentence):
        export_run(run, format, tmp_path / "out", shape=shape)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is not a run folder"):
        export_run(tmp_path, "coco", tmp_path / "out")


def test_an_output_that_is_a_file_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Cannot write the export"):
        export_run(run, "csv", tmp_path / "file")
