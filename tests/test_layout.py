"""What lies in a run folder is known by its name."""

from __future__ import annotations

import os

from lostreg.layout import has_header, holds_overlays, is_part_of_a_run


def make(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_no_folder_has_no_header(tmp_path):
    assert not has_header(tmp_path / "missing")
    assert not has_header(tmp_path)
    assert has_header(make(tmp_path / "run", "run.json"))


def test_names_that_no_system_takes_and_pipes_are_no_header(tmp_path):
    assert not has_header(tmp_path / ("x" * 5000))
    assert not has_header(tmp_path / "a\0b")
    os.mkfifo(tmp_path / "run.json")
    assert not has_header(tmp_path)


def test_a_runs_own_files_are_known(tmp_path):
    run = make(tmp_path / "run", "run.json")
    names = ("run.json", "records.jsonl", "failures.jsonl", "run.lock", "report.html")
    assert [is_part_of_a_run(run / name) for name in names] == [True] * 4 + [False]
    assert not is_part_of_a_run(tmp_path / "run.json")


def test_a_link_to_a_runs_own_file_is_one(tmp_path):
    run = make(tmp_path / "run", "run.json", "records.jsonl")
    (tmp_path / "out.json").symlink_to(run / "records.jsonl")
    assert is_part_of_a_run(tmp_path / "out.json")


def test_overlays_are_those_of_a_run_alone(tmp_path):
    run = make(tmp_path / "run", "run.json", "records.jsonl")
    assert holds_overlays(run / "overlays")
    assert not holds_overlays(run / "photos")
    assert not holds_overlays(make(tmp_path / "foreign", "run.json") / "overlays")
