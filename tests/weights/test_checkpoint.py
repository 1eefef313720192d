"""Checkpoint files: whole and finite, or a sentence; never code."""

from __future__ import annotations

import os
import pickle
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lostreg.backbone import build_model
from lostreg.catalogue import BY_NAME
from lostreg.errors import WeightsError
from lostreg.weights.checkpoint import read_state_dict, recognise


@pytest.fixture
def tensors():
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)}


def test_safetensors_and_pytorch_files_hold_the_same(tmp_path, tensors):
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pth")
    torch.save({"model": {f"module.{name}": value for name, value in tensors.items()}}, tmp_path / "wrapped.pth")
    torch.save({"teacher": {f"backbone.{n}": v for n, v in tensors.items()}, "epoch": 3}, tmp_path / "teacher.pth")
    for name in ("a.safetensors", "a.pth", "wrapped.pth", "teacher.pth"):
        read = read_state_dict(tmp_path / name)
        assert read.keys() == tensors.keys()
        assert all(torch.equal(read[key], tensors[key]) for key in tensors)


def test_a_file_cut_anywhere_is_refused(tmp_path, tensors):
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        whole = (tmp_path / name).read_bytes()
        for length in np.linspace(0, len(whole) - 1, 20).astype(int):
            cut = tmp_path / f"cut-{name}"
            cut.write_bytes(whole[:length])
            with pytest.raises(WeightsError):
                read_state_dict(cut)


BROKEN = {
    "zeros.safetensors": b"\0" * 100,
    "huge header.safetensors": (10**15).to_bytes(8, "little") + b"{}",
    "text.safetensors": b"not weights at all",
    "text.pth": b"not weights at all",
    "empty.pth": b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_checkpoint_is_refused_at_once(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    started = time.process_time()
    with pytest.raises(WeightsError, match=name):
        read_state_dict(tmp_path / name)
    assert time.process_time() - started < 5


def test_missing_files_folders_and_other_content_are_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"a": 1}, tmp_path / "no tensors.pth")
    for path in (tmp_path / "no.pth", tmp_path, tmp_path / "list.pth", tmp_path / "no tensors.pth"):
        with pytest.raises(WeightsError):
            read_state_dict(path)


def test_values_that_are_not_finite_are_refused(tmp_path, tensors):
    tensors["b"][2] = float("nan")
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="not finite in b"):
        read_state_dict(tmp_path / "a.safetensors")


class Payload:
    """Unpickles to a call that would leave a file behind."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return (os.system, (f"touch {self.canary}",))


@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: {"state_dict": p}, lambda p: {"a": torch.ones(1), "b": p}])
def test_code_in_a_checkpoint_never_runs(tmp_path, wrap):
    canary = tmp_path / "canary"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(wrap(Payload(canary))))
    torch.save(wrap(Payload(canary)), tmp_path / "zip.pth")
    for name in ("plain.pth", "zip.pth"):
        with pytest.raises(WeightsError):
            read_state_dict(tmp_path / name)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["dinov2-s14", "dinov2-s14-reg", "dinov3-s16", "deit3-s16", "dino-s16"])
def test_a_checkpoint_is_recognised_by_its_shapes(name):
    assert recognise(build_model(BY_NAME[name]).state_dict()).name == name


def test_an_unknown_checkpoint_is_not_recognised(tensors):
    assert recognise(tensors) is None
