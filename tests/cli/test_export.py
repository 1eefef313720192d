"""``lostreg export`` as it is typed."""

from __future__ import annotations

import json

import pytest
from small_runs import DECODES_MASKS, IDENTITY, found, record, write_run

from lostreg.cli import main
from lostreg.cli.export import FORMAT_NAMES
from lostreg.export import FORMATS
from lostreg.runfolder import RunFolder

pytestmark = DECODES_MASKS


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [record("a.jpg", [found((14, 14, 28, 28))])], failures=["b.jpg"])


def test_it_says_where_and_how_many(run, tmp_path, capsys):
    assert main(["export", str(run), "--format", "csv", "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'out' / 'objects.csv'}: 1 objects of 1 pictures\n"
    assert "1 pictures that failed in the run are not in the export" in printed.err


def test_json(run, tmp_path, capsys):
    command = ["export", str(run), "--format", "coco", "--output", str(tmp_path), "--shape", "polygon", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == {
        "path": str(tmp_path / "instances.json"),
        "images": 1,
        "objects": 1,
        "failed": 1,
        "unfinished": None,
    }


def test_a_run_that_is_not_finished_is_told(run, tmp_path, capsys):
    with RunFolder(run, IDENTITY) as folder:
        folder.save_header(state="stopped")
    assert main(["export", str(run), "--format", "csv", "--output", str(tmp_path / "out"), "--json"]) == 0
    printed = capsys.readouterr()
    assert "The run is not finished (state: stopped)" in printed.err
    assert "The run is not finished" in json.loads(printed.out)["unfinished"]


def test_errors_end_with_their_code_and_one_sentence(run, tmp_path, capsys):
    assert main(["export", str(tmp_path), "--format", "voc", "--output", str(tmp_path)]) == 6
    assert capsys.readouterr().err == f"lostreg: {tmp_path} is not a run folder: it has no run.json.\n"
    assert main(["export", str(run), "--format", "voc", "--output", str(tmp_path), "--shape", "polygon"]) == 2
    assert "--shape of voc must be one of box" in capsys.readouterr().err


def test_the_names_of_the_formats_are_those_of_the_registry():
    assert tuple(FORMATS) == FORMAT_NAMES
