"""PyTorch's compiler: the same features for the grids it is told, nothing compiled for others."""

from __future__ import annotations

import shutil

import pytest
import torch
from small_vits import small_vit
from torch._dynamo.backends.common import aot_autograd

from lostreg.engines import compiled_engine, make_engine
from lostreg.engines.compiled_engine import OneSize, Recorder, with_fixed_rotation
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
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("PyTorch's compiler needs a C++ compiler on the CPU: apt-get install g++")
    return make_engine("compiled", "fp32", CPU, grids=[GRID])


@pytest.mark.parametrize(("count", "compiled_for"), [(1, 1), (2, 2), (1, 2)])
def test_batches_of_any_size_give_what_pytorch_gives_and_the_largest_is_compiled(engine, view, count, compiled_for):
    expected = TorchEngine(CPU, "fp32").run(view, inputs(count, seed=count))
    found = engine.run(view, inputs(count, seed=count))
    assert found.keys() == expected.keys()
    for part, values in expected.items():
        torch.testing.assert_close(found[part], values, rtol=1e-3, atol=1e-5)
    assert [each.batch_size for each in engine._compiled.values()] == [compiled_for]


def test_more_than_fit_at_once_go_through_in_turn(view):
    ran = []
    one_size = OneSize(view, 2)
    one_size._compile = lambda given: lambda some: ran.append(len(some)) or view.forward_features(some)
    found = one_size.forward_features(inputs(5))
    torch.testing.assert_close(found["k"], view.forward_features(inputs(5))["k"], rtol=1e-3, atol=1e-5)
    assert ran == [2, 2, 2]


@pytest.mark.parametrize("timm_id", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_what_is_recorded_for_another_device_computes_nothing_on_the_cpu(timm_id):
    whole = tapped(small_vit(timm_id), 1, frozenset({"k"}), prefix_tokens=1).to("meta")
    seen = []

    def inspect(graph, examples):
        seen.extend(value.device.type for node in graph.graph.nodes if torch.is_tensor(value := node.meta.get("val")))
        return graph.forward

    given = inputs(2).to("meta")
    backend = aot_autograd(fw_compiler=inspect)
    with torch.no_grad():
        torch.compile(with_fixed_rotation(whole, given).forward_features, backend=backend, fullgraph=True)(given)
    assert set(seen) == {"meta"}


def test_a_fixed_rotation_is_that_of_the_grid():
    vit = tapped(small_vit("vit_small_patch16_dinov3"), 1, frozenset({"x"}), prefix_tokens=5)
    fixed = with_fixed_rotation(vit, inputs(2))
    assert fixed is not vit
    assert torch.equal(fixed.forward_features(inputs(2))["x"], vit.forward_features(inputs(2))["x"])


def test_many_grids_and_views_can_be_compiled_in_one_process(monkeypatch):
    real, seen = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda *given, **options: real(*given, **options, backend="eager"))
    view = tapped(small_vit(), 1, frozenset({"q"}), prefix_tokens=1)
    for columns in range(1, 12):
        one_size = OneSize(view, 1)
        with torch.inference_mode():
            seen.append(one_size.forward_features(inputs(1, (2, columns)))["q"].shape[1])
    assert seen == [1 + 2 * columns for columns in range(1, 12)]


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


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("full"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA driver error: out of memory"),
    ],
)
def test_out_of_memory_stays_what_it_is(engine, view, monkeypatch, error):
    def full(self, given):
        raise error

    monkeypatch.setattr(OneSize, "forward_features", full)
    monkeypatch.setattr(engine, "_compiled", {})
    with pytest.raises(type(error)) as caught:
        engine.run(view, inputs(2))
    assert caught.value is error


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")
def test_a_recorded_forward_reads_its_inputs_anew():
    given = torch.ones(8, device="cuda")
    replayed = Recorder(given.device)(lambda values: {"k": values * 2}, given)
    for number in (1.0, 5.0):
        given.fill_(number)
        assert replayed(given)["k"].tolist() == [2 * number] * 8
