from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from boxes_by_hand import write_coco, write_voc
from small_runs import IDENTITY, found, record, write_run

from lostreg.cli import main
from lostreg.cli.options import DATASETS as DATASET_NAMES
from lostreg.datasets import DATASETS
from lostreg.runfolder import RunFolder

PICTURES = {
    "000001": [("dog", (1, 1, 50, 40))],
    "000002": [("cat", (11, 11, 50, 60), 1, 0)],
    "000003": [],
}


@pytest.fixture
def voc(tmp_path):
    return write_voc(tmp_path / "VOCdevkit", PICTURES)


@pytest.fixture
def run_folder(tmp_path):
    records = [
        record("000001.jpg", [found((0, 0, 50, 40), 100, 80)], width=100, height=80),
        record("000002.jpg", [found((60, 10, 99, 60), 100, 80)], width=100, height=80),
    ]
    return write_run(tmp_path / "run", records, failures=["000003.jpg"])


def run_eval(*arguments):
    return main(["eval", *map(str, arguments)])


def test_a_table_for_people(voc, run_folder, capsys):
    assert run_eval(run_folder, "--dataset", "voc07", "--root", voc) == 0
    out, err = capsys.readouterr()
    assert f"{run_folder} on voc07 trainval" in out
    assert "CorLoc                50.00  (1 of 2)" in out
    assert "without objects      1 pictures" in out
    assert "dog                100.00  (1 of 1)" in out
    assert err == ""


def test_json_for_machines(voc, run_folder, tmp_path, capsys):
    assert run_eval(run_folder, "--dataset", "voc07", "--root", voc, "--json", "-") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["corloc"]["percent"] == 50.0
    assert printed["split"] == "trainval"
    assert (printed["images"], printed["images_without_objects"]) == (2, 1)
    target = tmp_path / "figures.json"
    assert run_eval(run_folder, "--dataset", "voc07", "--root", voc, "--json", target) == 0
    assert json.loads(target.read_text()) == printed
    assert "CorLoc" in capsys.readouterr().out


def test_a_run_that_is_not_finished_is_a_warning(voc, run_folder, capsys):
    with RunFolder(run_folder, IDENTITY) as folder:
        folder.save_header(state="stopped")
    assert run_eval(run_folder, "--dataset", "voc07", "--root", voc, "--json", "-") == 0
    printed = capsys.readouterr()
    assert "The run is not finished (state: stopped)" in printed.err
    assert any("Here they count as misses." in sentence for sentence in json.loads(printed.out)["warnings"])


def test_the_figures_take_the_place_of_no_file_of_the_run(voc, run_folder, capsys):
    with pytest.raises(SystemExit) as caught:
        run_eval(run_folder, "--dataset", "voc07", "--root", voc, "--json", run_folder / "records.jsonl")
    assert caught.value.code == 2
    assert "belongs to the run in" in capsys.readouterr().err


def test_an_empty_split_is_not_the_usual_one(voc, run_folder, capsys):
    assert run_eval(run_folder, "--dataset", "voc07", "--root", voc, "--split", "") == 2
    assert "--split is empty" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_a_path_that_is_none_is_refused(voc, run_folder, text, capsys):
    with pytest.raises(SystemExit) as caught:
        run_eval(run_folder, "--dataset", "voc07", "--root", voc, "--json", text)
    assert caught.value.code == 2
    assert "argument --json: expected a path" in capsys.readouterr().err


def test_no_hard(voc, run_folder, capsys):
    assert run_eval(run_folder, "--dataset", "voc07", "--root", voc, "--no-hard", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["corloc"] == {
        "hits": 1,
        "images": 1,
        "percent": 100.0,
        "interval95": [100.0, 100.0],
    }


def test_compare_and_published(voc, run_folder, tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"000001.jpg": [0, 0, 100, 80], "000002.jpg": [10, 10, 50, 60]}))
    arguments = ["--dataset", "voc07", "--root", voc, "--compare", other, "--published"]
    assert run_eval(run_folder, *arguments) == 0
    out, err = capsys.readouterr()
    assert "hit by one only      1 by the first, 1 by the second" in out
    assert "McNemar's exact test p = 1" in out
    assert "61.9  LOST" in out
    assert "50.0 % of the boxes are the whole picture" in err
    assert run_eval(run_folder, *arguments, "--json", "-") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["comparison"]["difference"] == 0.0
    assert facts["compared_with"]["predictions"] == str(other)
    assert facts["published"][0]["voc07"] == 61.9


def test_published_says_when_there_is_nothing(tmp_path, capsys):
    write_coco(tmp_path / "annotations" / "instances.json")
    results = tmp_path / "results.json"
    rows = [{"image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40], "score": score} for score in (0.5, 0.25)]
    results.write_text(json.dumps(rows))
    assert run_eval(results, "--dataset", "coco", "--root", tmp_path, "--published") == 0
    out = capsys.readouterr().out
    assert "No published CorLoc is known for coco" in out
    assert "AP50" in out
    assert "AR100" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--dataset", "voc12"], 5, "Expected VOC2012"),
        (["--dataset", "voc07", "--split", "gone"], 5, "No split 'gone'"),
        (["--dataset", "voc07", "--annotations", "x.json"], 2, "--annotations makes no sense"),
        (["--dataset", "voc07", "--seed", "-1"], 2, "--seed must be 0 or more"),
        (["--dataset", "voc07", "--compare", "gone.json"], 5, "No file at gone.json"),
        (["--dataset", "voc07", "--json", "/dev/null/x.json"], 6, "Cannot write /dev/null/x.json"),
    ],
)
def test_failures_end_in_a_sentence_and_a_code(voc, run_folder, capsys, arguments, code, says):
    assert run_eval(run_folder, *arguments, "--root", voc) == code
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_a_damaged_annotation_ends_with_5_and_names_file_and_record(voc, run_folder, capsys):
    path = voc / "VOC2007" / "Annotations" / "000002.xml"
    path.write_text(path.read_text().replace("<xmin>11<", "<xmin>NaN<"))
    assert run_eval(run_folder, "--dataset", "voc07", "--root", voc) == 5
    assert f"{path}, object 1: <xmin> must be a finite number" in capsys.readouterr().err


def test_no_hard_needs_flags(tmp_path, run_folder, capsys):
    write_coco(tmp_path / "annotations" / "instances.json")
    assert run_eval(run_folder, "--dataset", "coco", "--root", tmp_path, "--no-hard") == 2
    assert "--no-hard needs VOC's flags" in capsys.readouterr().err


def test_a_damaged_run_folder_ends_with_6(voc, tmp_path, capsys):
    assert run_eval(tmp_path, "--dataset", "voc07", "--root", voc) == 6
    assert "is not a run folder" in capsys.readouterr().err


def test_the_script_is_the_same_command(voc, run_folder):
    script = Path(__file__).parents[2] / "eval" / "corloc.py"
    command = [sys.executable, script, run_folder, "--dataset", "voc07", "--root", voc, "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["corloc"]["percent"] == 50.0


def test_the_parser_knows_every_dataset():
    assert DATASET_NAMES == DATASETS


@pytest.mark.parametrize(("module", "heavy"), [("lostreg.cli.evaluate", False), ("lostreg.evaluate", True)])
def test_the_command_loads_nothing_heavy_before_it_runs(module, heavy):
    code = f"import sys, {module}; print(any(name in sys.modules for name in ('numpy', 'scipy', 'torch')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(heavy)
