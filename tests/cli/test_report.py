"""``lostreg report`` as it is typed."""

from __future__ import annotations

import pytest
from small_runs import DECODES_MASKS, IDENTITY, found, record, write_run

from lostreg.cli import main
from lostreg.cli.options import DATASETS as DATASET_NAMES
from lostreg.datasets import DATASETS
from lostreg.runfolder import RunFolder

pytestmark = DECODES_MASKS


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [record("a.jpg", [found((14, 14, 28, 28))])])


def test_the_page_lies_in_the_run_folder_unless_named(run, tmp_path, capsys):
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}: 0.0 MB\n"
    assert main(["report", str(run), "--output", str(tmp_path / "deep" / "page.html")]) == 0
    assert (tmp_path / "deep" / "page.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--dataset", "voc07"], 2, "--dataset voc07 needs the folder it lies in: --root DIR."),
        (["--root", "."], 2, "--root says which annotations to judge by; name the --dataset too"),
        (["--no-hard"], 2, "--no-hard says which annotations to judge by"),
        (["--seed", "-1"], 2, "--seed must be 0 or more, but it is -1."),
        (["--dataset", "voc07", "--root", "/nowhere"], 5, "--root must be the folder of the dataset voc07"),
    ],
)
def test_what_makes_no_sense_ends_with_its_code_and_a_sentence(run, capsys, options, code, sentence):
    assert main(["report", str(run), *options]) == code
    assert sentence in capsys.readouterr().err
    assert not (run / "report.html").exists()


def test_the_page_takes_the_place_of_no_file_of_the_run(run, capsys):
    before = (run / "run.json").read_text()
    with pytest.raises(SystemExit) as caught:
        main(["report", str(run), "--output", str(run / "run.json")])
    assert caught.value.code == 2
    assert "belongs to the run in" in capsys.readouterr().err
    assert (run / "run.json").read_text() == before


def test_a_run_that_is_not_finished_says_so_on_its_page(run):
    with RunFolder(run, IDENTITY) as folder:
        folder.save_header(state="running")
    assert main(["report", str(run)]) == 0
    assert "The run is not finished (state: running)" in (run / "report.html").read_text()


def test_a_run_in_which_everything_failed_tells_why(tmp_path, capsys):
    run = write_run(tmp_path / "failed", [], failures=["a.jpg"])
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "a.jpg is damaged." in page
    assert "What was found" not in page
    assert main(["report", str(write_run(tmp_path / "empty", []))]) == 6
    assert "holds no picture yet" in capsys.readouterr().err


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 6
    assert "is not a run folder" in capsys.readouterr().err


def test_the_names_of_the_datasets_are_those_of_the_readers():
    assert DATASET_NAMES == DATASETS
