"""``lostreg registers distill`` as a user runs it, on a small ViT with random weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import save_file
from small_vits import small_pictures

from lostreg.backbone import build_model
from lostreg.catalogue import ModelEntry
from lostreg.cli import main

MODEL = "vit_tiny_patch16_224"
FEW = ("--registers-count", "2", "--views", "2", "--epochs", "1", "--batch-size", "2")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Random weights of a real architecture."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(build_model(ModelEntry(MODEL, MODEL, "other", "none")).state_dict(), path)
    return path


@pytest.fixture
def photos(tmp_path):
    small_pictures(tmp_path / "photos")
    return tmp_path / "photos"


def command(photos, output, checkpoint, *more):
    model = ("--model", MODEL, "--checkpoint", str(checkpoint), "--device", "cpu")
    return ["registers", "distill", str(photos), "--output", str(output), *FEW, *model, *more]


def test_an_adapter_is_trained_and_discovers(photos, tmp_path, checkpoint, capfd):
    out = tmp_path / "out"
    assert main(command(photos, out, checkpoint, "--json")) == 0
    printed, said = capfd.readouterr()
    facts = json.loads(printed)
    assert facts == json.loads((out / "distill.json").read_text())
    assert facts["state"] == "complete"
    assert facts["identity"]["registers"] == 2
    assert facts["adapter"]["bytes"] == (out / "adapter.safetensors").stat().st_size
    assert "the teacher looks at 5 pictures, 2 views each" in said
    assert "adapter.safetensors (1.3 MB)" in said
    found = ["discover", str(photos), "--model", MODEL, "--checkpoint", str(checkpoint), "--method", "lost", "--json"]
    assert main([*found, "--quiet", "--registers", str(out / "adapter.safetensors")]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 5


def test_an_adapter_of_other_weights_exits_with_4(photos, tmp_path, checkpoint, capsys):
    out = tmp_path / "out"
    assert main(command(photos, out, checkpoint, "--quiet", "--limit", "1")) == 0
    other = tmp_path / "other.safetensors"
    save_file(build_model(ModelEntry(MODEL, MODEL, "other", "none")).state_dict(), other)
    arguments = ["discover", str(photos), "--model", MODEL, "--checkpoint", str(other), "--quiet"]
    assert main([*arguments, "--registers", str(out / "adapter.safetensors")]) == 4
    assert "adapter.safetensors was trained on vit_tiny_patch16_224 with weights" in capsys.readouterr().err


def test_a_bad_picture_costs_itself_and_the_exit_code_says_so(photos, tmp_path, checkpoint, capsys):
    (photos / "text.png").write_text("no picture")
    out = tmp_path / "out"
    assert main(command(photos, out, checkpoint)) == 3
    assert "not-an-image" in capsys.readouterr().err
    assert json.loads((out / "distill.json").read_text())["pictures"] == {"used": 5, "failed": 1}


def test_a_folder_without_a_usable_picture(tmp_path, checkpoint, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    assert main(command(folder, tmp_path / "out", checkpoint)) == 2
    assert "No pictures found in" in capsys.readouterr().err
    (folder / "text.png").write_text("no picture")
    assert main(command(folder, tmp_path / "out", checkpoint)) == 3
    assert "None of the 1 pictures can be used, so nothing is distilled." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--precision", "fp16"), "--precision fp16 is too coarse to train in"),
        (("--limit", "0"), "--limit must be at least 1"),
        (("--targets", "x,z"), "--targets must be among"),
        (("--dataset", "voc07"), "Name either the pictures"),
    ],
)
def test_options_that_make_no_sense_exit_with_2(photos, tmp_path, checkpoint, capsys, more, sentence):
    assert main(command(photos, tmp_path / "out", checkpoint, *more)) == 2
    assert sentence in capsys.readouterr().err


def test_an_archive_is_refused_since_it_is_read_once(tmp_path, checkpoint, capsys):
    (tmp_path / "a.tar").write_bytes(b"")
    assert main(command(tmp_path / "a.tar", tmp_path / "out", checkpoint)) == 2
    assert "archives and videos must be unpacked" in capsys.readouterr().err


def test_a_model_with_registers_exits_with_4(photos, tmp_path, capsys):
    name = "vit_small_patch14_reg4_dinov2"
    path = tmp_path / "reg4.safetensors"
    save_file(build_model(ModelEntry(name, name, "other", "none")).state_dict(), path)
    arguments = ["registers", "distill", str(photos), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--model", name, "--checkpoint", str(path)]) == 4
    assert "was trained with 4 registers already; use --registers native" in capsys.readouterr().err


def test_interrupted_training_exits_with_130_and_goes_on(photos, tmp_path, checkpoint, capsys):
    out = tmp_path / "out"
    arguments = command(photos, out, checkpoint, "--epochs", "400")
    process = subprocess.Popen([sys.executable, "-m", "lostreg", *arguments], stderr=subprocess.PIPE, env=os.environ)
    for line in process.stderr:
        if b"the student learns" in line:
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert b"stopped; the same command goes on from" in said
    facts = json.loads((out / "distill.json").read_text())
    assert facts["state"] == "stopped"
    assert (out / "checkpoint.pt").is_file()
    assert 0 < len(facts["losses"]) < 400 * 3
