"""Engines: the same features whoever computes them, and a sentence where one cannot."""

from __future__ import annotations

import copy
import functools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import timm
import torch
from support import small_disk

from lostreg.backbone import Backbone
from lostreg.catalogue import ModelEntry
from lostreg.engines import choose_engine, make_engine, most_own_grids, native_precisions
from lostreg.engines.torch_engine import TorchEngine
from lostreg.errors import ModelError, UsageError
from lostreg.geometry import Frame
from lostreg.registers.shift import add_test_time_register
from lostreg.settings import PARTS

CPU = torch.device("cpu")
PATCH = 16


@functools.cache
def model(timm_id="vit_tiny_patch16_224", **options):
    """Return a ViT of two blocks without trained weights."""
    torch.manual_seed(0)
    return timm.create_model(timm_id, depth=2, num_classes=0, dynamic_img_size=True, **options)


def features(engine, grid_hw, vit, count=2, parts=PARTS):
    entry = ModelEntry("tiny", "vit_tiny_patch16_224", "other", "none")
    rows, columns = grid_hw
    frame = Frame((columns * PATCH, rows * PATCH), (columns * PATCH, rows * PATCH), grid_hw, PATCH)
    inputs = torch.randn(count, 3, rows * PATCH, columns * PATCH, generator=torch.Generator().manual_seed(1))
    backbone = Backbone(entry, vit, CPU, engine.precision, engine)
    return lambda: backbone.extract(inputs, [frame] * count, frozenset(parts))


def refused(name, precision="auto", device=CPU):
    with pytest.raises(UsageError) as caught:
        make_engine(name, precision, device)
    return str(caught.value)


def chosen(vit, precision="fp32"):
    reference = TorchEngine(CPU, precision)
    view = Backbone(ModelEntry("tiny", "", "other", "none"), vit, CPU, precision, reference).view(1, frozenset("k"))
    return choose_engine(view, PATCH, reference)


def test_auto_is_torch_where_openvino_is_not_installed_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine, note = chosen(model())
    assert (engine.name, engine.precision) == ("torch", "fp32")
    assert "is not installed (pip install 'lostreg[openvino]')" in note


def test_auto_is_openvino_in_fp32_where_it_gives_what_torch_gives(openvino_engine):
    engine, note = chosen(model())
    assert (engine.name, engine.precision, note) == ("openvino", "fp32", None)


def test_auto_stays_with_torch_where_openvino_gives_something_else(openvino_engine, monkeypatch):
    from lostreg.engines import openvino_model as module

    engine, note = chosen(model("vit_small_patch16_dinov3"))
    assert engine.name == "torch"
    assert "rotary position embedding" in note
    right = module.CompiledVit.forward_features
    monkeypatch.setattr(
        module.CompiledVit,
        "forward_features",
        lambda self, inputs: {part: values + 1 for part, values in right(self, inputs).items()},
    )
    engine, note = chosen(model())
    assert engine.name == "torch"
    assert "differs from PyTorch's" in note


def test_what_cannot_be_had_is_said_with_the_next_best_choice(monkeypatch):
    assert "must be one of auto, torch, compiled, openvino" in refused("onnx")
    assert "must be one of auto, fp32" in refused("torch", "int8")
    best = native_precisions(CPU)[-1]
    assert refused("torch", "fp16").endswith(f"the next best choice is --precision {best}.")
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert f"pip install 'lostreg[openvino]'; the next best choice is --engine torch --precision {best}." in refused(
        "openvino"
    )
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert refused("torch", "bf16").endswith("the next best choice is --precision fp32.")
    assert "runs on the CPU" in refused("openvino", "auto", torch.device("mps"))


@pytest.mark.parametrize(("native", "best"), [(True, ("fp32", "fp16", "bf16")), (False, ("fp32", "fp16"))])
def test_a_gpu_computes_in_bf16_only_where_it_is_native(native, best, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert native_precisions(torch.device("cuda")) == best


@pytest.mark.parametrize(
    ("name", "precision", "weights_bytes", "most"),
    [
        ("torch", "bf16", 0, 0),
        ("compiled", "fp32", 10**10, 4),
        ("openvino", "fp32", 0, 0),
        ("openvino", "bf16", 88 * 10**6, 4),
        ("openvino", "bf16", 350 * 10**6, 1),
        ("openvino", "bf16", 1200 * 10**6, 0),
    ],
)
def test_only_engines_that_gain_are_told_grids_and_the_weights_of_all_are_bounded(name, precision, weights_bytes, most):
    vit = SimpleNamespace(parameters=lambda: [SimpleNamespace(nbytes=weights_bytes)])
    assert most_own_grids(SimpleNamespace(name=name, precision=precision), vit) == most


@pytest.mark.skipif("bf16" not in native_precisions(CPU), reason="this CPU has no bf16")
def test_autocast_gives_fp32_tensors_near_those_of_fp32():
    exact = features(TorchEngine(CPU, "fp32"), (3, 4), model())()
    short = features(TorchEngine(CPU, "bf16"), (3, 4), model())()
    for name, values in exact[0].tokens.items():
        assert short[0].tokens[name].dtype == torch.float32
        assert 0 < float((short[0].tokens[name] - values).norm() / values.norm()) < 0.03


@pytest.fixture
def openvino_engine(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path))
    return lambda precision="fp32": make_engine("openvino", precision, CPU)


def test_openvino_gives_every_part_on_every_grid(openvino_engine, capfd):
    engine = openvino_engine()
    for grid_hw, count in (((3, 4), 2), ((7, 5), 1)):
        exact = features(TorchEngine(CPU, "fp32"), grid_hw, model(), count)()
        found = features(engine, grid_hw, model(), count)()
        for one, other in zip(found, exact, strict=True):
            torch.testing.assert_close(one.attention, other.attention, rtol=1e-3, atol=1e-5)
            for part, values in other.tokens.items():
                torch.testing.assert_close(one.tokens[part], values, rtol=1e-3, atol=1e-4)
    assert "converting" in capfd.readouterr().err


def test_openvino_gives_the_same_features_of_a_grid_that_it_was_told_and_of_others(openvino_engine):
    vit = model(reg_tokens=2)
    told = make_engine("openvino", "fp32", CPU, grids=[(3, 4)])
    for grid_hw, count in (((3, 4), 2), ((3, 4), 1), ((4, 3), 1)):
        expected = features(openvino_engine(), grid_hw, vit, count, parts={"k"})()
        for one, other in zip(features(told, grid_hw, vit, count, parts={"k"})(), expected, strict=True):
            torch.testing.assert_close(one.tokens["k"], other.tokens["k"], rtol=1e-3, atol=1e-4)
    assert {grid_hw for _, grid_hw in told._compiled} == {(3, 4), None}


@pytest.mark.parametrize("grids", [(), [(3, 4)]])
def test_the_number_of_lanes_changes_no_bit(openvino_engine, grids):
    vit, found = model(), []
    for lanes in (1, 2):
        engine = make_engine("openvino", openvino_engine().precisions()[-1], CPU, lanes, grids)
        found.append(features(engine, (3, 4), vit, parts={"k"})()[0].tokens["k"])
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "options",
    [
        {"class_token": False, "global_pool": "avg"},
        {"pre_norm": True},
        {"reg_tokens": 3},
        {"reg_tokens": 3, "no_embed_class": True},
    ],
)
def test_openvino_puts_together_the_tokens_of_every_kind_of_vit(openvino_engine, options):
    vit, parts = model(**options), {"x", "k"}
    exact = features(TorchEngine(CPU, "fp32"), (3, 4), vit, parts=parts)()
    found = features(openvino_engine(), (3, 4), vit, parts=parts)()
    for part in parts:
        torch.testing.assert_close(found[1].tokens[part], exact[1].tokens[part], rtol=1e-3, atol=1e-4)


def test_openvino_features_outlive_the_next_forward(openvino_engine):
    extract = features(openvino_engine(), (3, 4), model(), parts={"k"})
    first = extract()[0].tokens["k"]
    kept = first.clone()
    extract()
    assert torch.equal(first, kept)


def test_openvino_that_computes_something_else_is_refused(openvino_engine, monkeypatch):
    from lostreg.engines import openvino_model as module

    right = module.CompiledVit.forward_features
    monkeypatch.setattr(
        module.CompiledVit,
        "forward_features",
        lambda self, inputs: {part: values * 1.2 for part, values in right(self, inputs).items()},
    )
    with pytest.raises(ModelError, match=r"OpenVINO's k differs from PyTorch's by 20 %.*use --engine torch"):
        features(openvino_engine(), (3, 4), model(), parts={"k"})()


def test_openvino_refuses_what_it_cannot_convert(openvino_engine):
    with pytest.raises(ModelError, match=r"without rotary position embedding.*use --engine torch"):
        features(openvino_engine(), (3, 4), model("vit_small_patch16_dinov3"), parts={"k"})()
    changed = add_test_time_register(model(), {0: [5, 9]}, "tiny")
    with pytest.raises(ModelError, match=r"cannot convert this ViT.*use --engine torch"):
        features(openvino_engine(), (3, 4), changed, parts={"k"})()


def test_openvino_bf16_is_near_fp32_or_refused(openvino_engine):
    engine = openvino_engine()
    if "bf16" not in engine.precisions():
        assert "next best choice is --precision fp32" in refused("openvino", "bf16")
        return
    exact = features(engine, (6, 6), model(), parts={"k"})()[0].tokens["k"]
    short = features(openvino_engine("bf16"), (6, 6), model(), parts={"k"})()[0].tokens["k"]
    assert 0 < float((short - exact).norm() / exact.norm()) < 0.03
    assert "next best choice is --precision bf16" in refused("openvino", "fp16")


def test_openvino_in_lanes_gives_each_thread_its_own_answer(openvino_engine):
    lanes = make_engine("openvino", "fp32", CPU, lanes=2)
    grids = [(3, 4), (5, 2), (4, 4), (2, 7)]
    alone = [features(openvino_engine(), grid_hw, model(), parts={"k"})()[0].tokens["k"] for grid_hw in grids]
    waiting = [features(lanes, grid_hw, model(), parts={"k"}) for grid_hw in grids]
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(extract) for extract in waiting * 8]
    for number, future in enumerate(found):
        torch.testing.assert_close(future.result()[0].tokens["k"], alone[number % 4], rtol=1e-3, atol=1e-4)


def test_a_converted_model_is_kept_and_known_by_its_weights(openvino_engine, capfd, tmp_path):
    def keys(vit):
        return features(openvino_engine(), (3, 4), vit, parts={"k"})()[0].tokens["k"]

    first = keys(model())
    assert "converting" in capfd.readouterr().err
    assert torch.equal(keys(model()), first)
    assert "converting" not in capfd.readouterr().err
    changed = copy.deepcopy(model())
    changed.blocks[0].mlp.fc1.weight.mul_(1.5)
    assert not torch.allclose(keys(changed), first)
    assert "converting" in capfd.readouterr().err
    kept = sorted((tmp_path / "openvino").iterdir())
    assert [path.suffix for path in kept] == [".bin", ".xml"] * 2
    for suffix in (".bin", ".xml"):
        for path in kept:
            if path.suffix == suffix:
                path.write_bytes(path.read_bytes()[:1000])
        assert torch.equal(keys(model()), first)
        assert "converting" in capfd.readouterr().err
    for path in kept:
        if path.suffix == ".bin":
            path.unlink()
    assert torch.equal(keys(model()), first)
    assert "converting" in capfd.readouterr().err


def test_a_cache_that_cannot_be_written_costs_time_and_no_run(openvino_engine, monkeypatch, tmp_path, capfd):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path / "file"))
    extract = features(openvino_engine(), (3, 4), model(), parts={"k"})
    assert extract()[0].tokens["k"].isfinite().all()
    assert "the converted model cannot be kept in" in capfd.readouterr().err


def test_a_disk_that_fills_up_while_a_model_is_kept_costs_time_and_no_run(
    openvino_engine, monkeypatch, tmp_path, capfd
):
    with small_disk(tmp_path / "disk", 1000) as disk:
        monkeypatch.setenv("LOSTREG_CACHE", str(disk))
        found = [features(openvino_engine(), (3, 4), model(), parts={"k"})()[0].tokens["k"] for _ in range(2)]
        assert torch.equal(*found)
        said = capfd.readouterr().err
        assert said.count("converting") == said.count("cannot be kept") == 2


def test_the_converted_model_used_longest_ago_makes_room(openvino_engine, tmp_path, monkeypatch):
    def use(scale):
        changed = copy.deepcopy(model())
        changed.blocks[0].mlp.fc1.weight.mul_(scale)
        features(openvino_engine(), (3, 4), changed, parts={"k"})()
        return {path.name for path in folder.iterdir()}

    def age(names, seconds):
        for name in names:
            os.utime(folder / name, (seconds, seconds))

    folder = tmp_path / "openvino"
    first = use(1.0)
    size = sum((folder / name).stat().st_size for name in first)
    monkeypatch.setattr("lostreg.engines.openvino_model.KEPT_MOST_BYTES", int(2.5 * size))
    age(first, 1)
    second = use(2.0) - first
    age(second, 2)
    use(1.0)
    left = use(3.0)
    assert first < left
    assert not second & left
    monkeypatch.setattr("lostreg.engines.openvino_model.KEPT_MOST_BYTES", 1)
    assert len(use(4.0)) == 2
