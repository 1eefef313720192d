"""PyTorch's compiler: the same features for the grids it is told, nothing compiled for others."""

from __future__ import annotations

import pytest
import torch
from small_vits import small_vit

from lostreg.engines import compiled_engine, make_engine
from lostreg.engines.compiled_engine import OneSize, recorded
from lostreg.engines.torch_engine import TorchEngine
from lostreg.errors import ModelError, UsageError
from lostreg.tap import tapped

CPU = torch.device("cpu")
GRID = (3, 4)


@pytest.fixture(scope="module")
def view():
    return tapped(small_vit(), 1, frozenset({"k", "attention"}), prefix_tokens=1)


def inputs(count, grid_hw=GRID, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 16 * grid_hw[0], 16 * grid_hw[1], generator=generator)


@pytest.fixture(scope="module")
def engine():
    try:
        return make_engine("compiled", "fp32", CPU, grids=[GRID])
    except UsageError as error:
        pytest.skip(f"PyTorch cannot compile here: {error}")


@pytest.mark.parametrize("count", [2, 1, 5])
def test_batches_of_any_size_give_what_pytorch_gives(engine, view, count):
    if not engine._compiled:
        engine.run(view, inputs(2))
    expected = TorchEngine(CPU, "fp32").run(view, inputs(count, seed=count))
    found = engine.run(view, inputs(count, seed=count))
    assert found.keys() == expected.keys()
    for part, values in expected.items():
        torch.testing.assert_close(found[part], values, rtol=1e-3, atol=1e-5)
    assert len(engine._compiled) == 1


def test_outputs_outlive_the_next_forward(engine, view):
    first = engine.run(view, inputs(2))["k"]
    kept = first.clone()
    engine.run(view, inputs(2, seed=1))
    assert torch.equal(first, kept)


def test_other_grids_run_as_they_are(engine, view):
    compiled = dict(engine._compiled)
    found = engine.run(view, inputs(1, (2, 2)))
    assert torch.equal(found["k"], TorchEngine(CPU, "fp32").run(view, inputs(1, (2, 2)))["k"])
    assert engine._compiled == compiled


def test_wrong_outputs_are_refused(engine, view, monkeypatch):
    right = OneSize.forward_features
    monkeypatch.setattr(
        OneSize, "forward_features", lambda self, given: {part: 2 * x for part, x in right(self, given).items()}
    )
    monkeypatch.setattr(engine, "_compiled", {})
    with pytest.raises(ModelError, match="The compiled ViT's k differs from PyTorch's by 1e\\+02 %"):
        engine.run(view, inputs(2))


def test_what_cannot_be_compiled_is_said(engine, view, monkeypatch):
    def broken(*given, **settings):
        raise NotImplementedError("some operator")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(engine, "_compiled", {})
    with pytest.raises(ModelError, match=r"cannot compile this ViT \(NotImplementedError\); use --engine torch"):
        engine.run(view, inputs(2))
    compiled_engine._obstacle.cache_clear()
    try:
        with pytest.raises(UsageError, match=r"does not work here \(some operator\); the next best choice is"):
            make_engine("compiled", "fp32", CPU)
    finally:
        compiled_engine._obstacle.cache_clear()


def test_out_of_memory_stays_what_it_is(engine, view, monkeypatch):
    def full(self, given):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(OneSize, "forward_features", full)
    monkeypatch.setattr(engine, "_compiled", {})
    with pytest.raises(torch.OutOfMemoryError):
        engine.run(view, inputs(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")
def test_a_recorded_forward_reads_its_inputs_anew():
    given = torch.ones(8, device="cuda")
    replayed = recorded(lambda values: {"k": values * 2}, given)
    for number in (1.0, 5.0):
        given.fill_(number)
        assert replayed(given)["k"].tolist() == [2 * number] * 8
