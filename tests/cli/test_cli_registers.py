"""Registers on the command line, with the real ViT."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from small_runs import DECODES_MASKS
from support import picture

from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import main
from lostreg.registers.neuron_list import Neuron, NeuronList
from lostreg.runreader import read_header, read_records

pytestmark = pytest.mark.weights
MODEL = ("--model", OFFLINE_MODEL, "--quiet")


@pytest.fixture(autouse=True)
def _weights(offline_weights):
    """Skip where the weights cannot be had."""


@pytest.fixture
def photo(tmp_path):
    return str(picture(tmp_path / "photo.png"))


def write_list(path, *units, model=OFFLINE_MODEL):
    NeuronList(model, tuple(Neuron(6, unit) for unit in units)).write(path)
    return f"test-time:{path}"


def test_a_run_with_other_registers_is_not_resumed(photo, tmp_path, capsys):
    run = ["discover", photo, "--output", str(tmp_path / "run"), *MODEL]
    given = ["--registers", write_list(tmp_path / "list.json", 3, 4)]
    assert main([*run, *given]) == 0
    header = read_header(tmp_path / "run")
    assert header["registers"] == given[1]
    assert header["identity"]["registers"]["extra_tokens"] == 1
    assert main([*run, *given]) == 0
    assert main(run) == 6
    assert "other settings (registers: " in capsys.readouterr().err
    write_list(tmp_path / "list.json", 3, 5)
    assert main([*run, *given]) == 6
    assert "registers.sha256: " in capsys.readouterr().err
    assert len(list(read_records(tmp_path / "run"))) == 1


def test_an_empty_list_gives_the_same_boxes_to_the_bit(photo, tmp_path, capsys):
    boxes = []
    for options in ([], ["--registers", write_list(tmp_path / "list.json")], ["--registers", "none"]):
        assert main(["discover", photo, "--json", *MODEL, *options]) == 0
        boxes.append(json.loads(capsys.readouterr().out)["objects"])
    assert boxes[0] == boxes[1] == boxes[2]


@DECODES_MASKS
def test_a_report_shows_the_maps_with_the_registers_of_the_run(photo, tmp_path, capsys):
    run, given = str(tmp_path / "run"), write_list(tmp_path / "list.json", 3, 4)
    assert main(["discover", photo, "--output", run, "--registers", given, *MODEL]) == 0
    report = ["report", run, "--maps", "--output", str(tmp_path / "page.html")]
    assert main(report) == 0
    write_list(tmp_path / "list.json", 5)
    assert main(report) == 6
    assert "registers of the run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("registers", "code", "sentence"),
    [
        ("nativ", 2, "--registers must be native, none"),
        ("native", 4, "was trained without registers"),
        ("test-time:nosuch.json", 4, "Cannot read the neuron list nosuch.json"),
        ("another", 4, "holds register neurons of dinov2-l14, not of dinov2-s14-imgfocus"),
    ],
)
def test_registers_that_cannot_be_had_are_one_sentence(photo, tmp_path, capsys, registers, code, sentence):
    given = write_list(tmp_path / "list.json", 3, model="dinov2-l14") if registers == "another" else registers
    assert main(["discover", photo, *MODEL, "--registers", given]) == code
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert printed.out == ""


def test_find_says_that_there_are_no_outliers_and_test_time_then_changes_nothing(photo, tmp_path, capsys):
    path = tmp_path / "list.json"
    assert main(["registers", "find", photo, "--model", OFFLINE_MODEL, "--output", str(path)]) == 0
    assert "no outliers behind block 10 on 1 images" in capsys.readouterr().err
    assert json.loads(path.read_text())["neurons"] == []


def test_find_takes_a_threshold_of_ones_own_and_leaves_out_what_cannot_be_read(photo, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no picture")
    path = tmp_path / "list.json"
    options = ["--threshold", "5", "--top-k", "3", "--top-layer", "4", "--output", str(path), "--json", *MODEL]
    assert main(["registers", "find", str(tmp_path), *options]) == 3
    printed = capsys.readouterr()
    assert "text.png" in printed.err
    made = json.loads(printed.out)
    assert made == json.loads(path.read_text())
    assert (len(made["neurons"]), made["images"], made["top_layer"], made["reference_layer"]) == (3, 1, 4, 10)
    assert all(each["block"] <= 4 for each in made["neurons"])
    assert main(["discover", photo, "--registers", f"test-time:{path}", *MODEL]) == 0


def test_inspect_writes_a_page_and_figures(photo, tmp_path, capsys):
    write_list(tmp_path / "list.json", 3)
    out = tmp_path / "out"
    against = ["--against", f"test-time:{tmp_path / 'list.json'}"]
    assert main(["registers", "inspect", photo, "--output", str(out), "--json", *MODEL, *against]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((out / "inspection.json").read_text())
    stock, changed = facts["models"]
    assert (stock["registers"], changed["registers"]["extra_tokens"]) == (None, 1)
    assert (stock["extra_tokens"], changed["extra_tokens"]) == (["CLS"], ["CLS", "register 1"])
    assert len(stock["blocks"]) == 12
    assert stock["published"][0]["threshold"]["rule"] == "norm above 150"
    page = (out / "report.html").read_text()
    for text in ("register 1 attention", "seed similarity", "98th percentile of the model", "arXiv 2506.08010"):
        assert text in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["inspect", "{photo}", "--output", "{out}", "--probe"], 2, "--probe needs at least 2 pictures"),
        (["inspect", "{photo}", "--output", "{out}", "--against", "nosuch"], 4, "Unknown model 'nosuch'"),
        (["inspect", "{photo}", "--output", "{out}", "--reference-layer", "12"], 2, "must be from -12 to 11"),
        (["inspect", "{photo}", "--output", "{photo}"], 6, "name another --output"),
        (["inspect", "{bad}", "--output", "{out}"], 3, "None of the 1 pictures"),
        (["find", "{bad}"], 3, "None of the 1 pictures"),
        (["find", "{empty}"], 2, "No pictures found"),
        (["find", "{photo}", "--engine", "openvino"], 2, "which --engine openvino does not let it"),
        (["find", "{photo}", "--top-k", "0"], 2, "--top-k must be at least 1"),
        (["find", "{photo}", "--output", "{photo}/list.json"], 6, "name another file"),
    ],
)
def test_the_laboratory_refuses_in_one_sentence(photo, tmp_path, capsys, options, code, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_text("no picture")
    names = {"photo": photo, "out": tmp_path / "out", "bad": tmp_path / "bad", "empty": tmp_path / "empty"}
    given = [each.format(**names) for each in options]
    assert main(["registers", *given, *MODEL]) == code
    assert sentence in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("action", ["inspect", "find", "distill"])
def test_help_comes_without_torch(action):
    code = (
        f"import sys; from lostreg.cli import main; sys.argv = ['lostreg']; main(['registers', '{action}', '--help'])"
    )
    ended = f"import atexit, os; atexit.register(lambda: os._exit('torch' in __import__('sys').modules)); {code}"
    assert subprocess.run([sys.executable, "-c", ended], check=False, capture_output=True).returncode == 0


def test_an_interrupted_search_writes_nothing(photo, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lostreg.registers.find.inspect_pictures", interrupted)
    path = tmp_path / "list.json"
    assert main(["registers", "find", photo, "--output", str(path), *MODEL]) == 130
    assert not path.exists()
