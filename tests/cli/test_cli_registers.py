"""Registers on the command line, with the real ViT."""

from __future__ import annotations

import json

import pytest
from small_runs import DECODES_MASKS
from support import picture

from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import main
from lostreg.registers.neuron_list import Neuron, NeuronList
from lostreg.runfolder import read_header, read_records

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
