"""lostreg bench: honest clocks, the published procedure as published, figures that hang together."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import timm
import torch
from lost_by_hand import lost_by_hand
from support import stub_discoverer
from torch.utils.flop_counter import FlopCounterMode

from lostreg import cli
from lostreg.backbone import Backbone
from lostreg.bench import BenchPlan, Timing, alternate, measure, to_text
from lostreg.bench.baseline import published_box
from lostreg.bench.clock import ratios
from lostreg.bench.machine import products
from lostreg.bench.stages import _vit_rows, write_test_picture
from lostreg.catalogue import ModelEntry
from lostreg.engines import make_engine, native_precisions
from lostreg.errors import UsageError
from lostreg.images import read_photograph

CPU = torch.device("cpu")


class _Weights:
    entry = ModelEntry("tiny", "vit_tiny_patch16_224", "other", "none")


@functools.cache
def tiny():
    """Return a discoverer with a ViT of two blocks without trained weights."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=0, dynamic_img_size=True)
    made = stub_discoverer()
    made.weights, made.engine = _Weights(), make_engine("torch", "fp32", CPU)
    made.precision = made.engine.precision
    made.backbone = Backbone(_Weights.entry, model, CPU, made.precision, made.engine)
    return made


@pytest.fixture
def small_peaks(monkeypatch):
    """Measure peaks on small matrices, which is quicker and good enough here."""
    monkeypatch.setattr("lostreg.bench.stages.products", functools.partial(products, side=256, count=2))


def test_tasks_alternate_after_a_warm_up():
    ran = []
    timings = alternate({"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}, 3)
    assert "".join(ran) == "abababab"
    assert {name: len(timing.seconds) for name, timing in timings.items()} == {"a": 3, "b": 3}


def test_medians_spread_and_ratios_equal_those_worked_out_by_hand():
    timing = Timing((0.001, 0.002, 0.003, 0.004, 0.010))
    assert timing.to_json() == {"median_ms": 3.0, "p10_ms": 1.4, "p90_ms": 7.6, "runs": 5}
    assert timing.to_json(per=2)["median_ms"] == 1.5
    # a slow second round meets both, so the ratio of rounds does not see it
    assert ratios(Timing((4.0, 40.0, 4.0)), Timing((2.0, 20.0, 1.0)))["median"] == 2.0
    assert ratios(Timing((4.0, 40.0, 4.0)), Timing((2.0, 20.0, 1.0)), work=0.5)["median"] == 1.0


def test_the_published_procedure_is_lost_on_keys(tmp_path):
    discoverer, path = tiny(), write_test_picture(tmp_path / "a.jpg")
    tensor, frame = discoverer.prepare(read_photograph(path))
    (features,) = discoverer.extract_batch(tensor[None], [frame], {"k"})
    (x0, y0, x1, y1), _, _ = lost_by_hand(features.tokens["k"].numpy(), frame.grid_hw)
    assert published_box(discoverer.backbone, path) == (16 * x0, 16 * y0, 16 * x1, 16 * y1)


@pytest.mark.parametrize("precision", native_precisions(CPU))
def test_products_count_what_they_multiply(precision):
    made = products(CPU, precision, side=128, count=3)
    with FlopCounterMode(display=False) as counter:
        made.run()
    assert made.gflop == pytest.approx(3 * 2 * 128**3 / 1e9)
    if precision != "fp32":  # in fp32 a convolution may be quicker, of a layout that is not counted
        assert counter.get_total_flops() / 1e9 == pytest.approx(made.gflop)


def test_figures_hang_together(tmp_path, small_peaks):
    pictures = (write_test_picture(tmp_path / "a.jpg"),)
    plan = BenchPlan(pictures, "torch", "fp32", batch_sizes=(1, 2), rounds=2, against_published=True)
    said = []
    found = json.loads(json.dumps(measure(tiny(), plan, said.append)))
    assert [row["batch"] for row in found["vit"]] == [1, 2]
    for row in found["vit"]:
        assert row["grid_hw"] == [24, 32]
        assert row["gflops"] == pytest.approx(1000 * row["gflop"] / row["median_ms"], rel=0.02)
        assert row["share_of_peak"]["pairs"] == 2
        assert row["one_grid"] is False
    tokens, width = 24 * 32 + 1, 192
    block = 2 * tokens * 12 * width**2 + 4 * tokens**2 * width  # projections and MLP, and the two attention products
    embedding, keys = 2 * (tokens - 1) * 3 * 16**2 * width, 2 * tokens * width**2
    assert found["vit"][0]["gflop"] == pytest.approx((block + embedding + keys) / 1e9, rel=0.01)
    (stages,) = found["stages"]
    assert list(stages) == ["image_wh", "decode", "preprocess", "graph", "box", "write"]
    whole = found["end_to_end"]
    assert set(whole) == {"torch fp32", "published"}
    assert whole["torch fp32"]["images_per_second"] == pytest.approx(1000 / whole["torch fp32"]["median_ms"], rel=0.02)
    assert 0 < whole["torch fp32"]["not_vit_share"] < 1
    assert whole["torch fp32"]["times_published"]["pairs"] == 2
    assert found["peak_memory_mb"]["resident"] > 50
    text = to_text(found)
    assert "published" in text
    assert f"{found['vit'][0]['median_ms']:.2f}" in text
    assert said


def test_every_size_asked_for_is_measured(small_peaks):
    found = measure(tiny(), BenchPlan(engine="torch", precision="fp32", rounds=1, sizes=((64, 48), (160, 100))))
    assert [(row["image_wh"], row["grid_hw"]) for row in found["vit"]] == [([64, 48], [3, 4]), ([160, 100], [7, 10])]
    assert [stages["image_wh"] for stages in found["stages"]] == [[64, 48], [160, 100]]
    assert found["pictures"] == 2
    assert "160 x 100" in to_text(found)


def test_the_share_of_the_peak_is_that_of_products_in_the_same_round(tmp_path, small_peaks, monkeypatch):
    spent = {"torch fp32": Timing((2.0, 8.0)), "fp32": Timing((1.0, 2.0))}
    monkeypatch.setattr("lostreg.bench.stages.alternate", lambda tasks, rounds: {name: spent[name] for name in tasks})
    runners = {"torch fp32": tiny().with_engine("torch", "fp32")}
    (row,) = _vit_rows(runners, write_test_picture(tmp_path / "a.jpg"), 3, 2)
    multiplied = 2 * 2 * 256**3 / 1e9
    assert row["median_ms"] == pytest.approx(5000 / (8 * 3), rel=1e-3)
    assert row["peak_gflops"] == pytest.approx(multiplied / 1.5, abs=0.1)
    assert row["best_peak_gflops"] == pytest.approx(multiplied, abs=0.1)
    halves = [8 * 3 * row["gflop"] / multiplied * share for share in (1 / 2, 2 / 8)]
    assert row["share_of_peak"]["median"] == pytest.approx(sum(halves) / 2, rel=0.01)


def test_what_does_not_work_here_is_left_out_and_refused_if_nothing_is_left():
    with pytest.raises(UsageError, match="next best choice is --precision"):
        measure(tiny(), BenchPlan(engine="torch", precision="fp16"))


def test_the_command_prints_json_and_refuses_nonsense(tmp_path, monkeypatch, capsys, small_peaks):
    monkeypatch.setattr("lostreg.cli.bench.discoverer_from", lambda args: tiny())
    picture = write_test_picture(tmp_path / "a.jpg")
    given = ["bench", str(picture), "--engine", "torch", "--precision", "fp32", "--rounds", "1", "--json", "--quiet"]
    assert cli.main(given) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["versions"]["torch"]
    assert printed.err == ""
    both = [str(picture), "--sizes", "64x48"]
    for wrong in (["--rounds", "0"], ["--batch-sizes", "1", "0"], [str(tmp_path / "none")], both):
        assert cli.main(["bench", *wrong]) in {2, 3}
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bench", "--sizes", "500"])
    assert "a size must be like 500x375" in capsys.readouterr().err
    (tmp_path / "a.tar").write_bytes(b"")
    assert cli.main(["bench", str(tmp_path / "a.tar")]) == 2


def test_the_made_up_picture_is_of_vocs_size(tmp_path):
    rgb = read_photograph(write_test_picture(tmp_path / "a.jpg")).rgb
    assert rgb.shape == (375, 500, 3)
    assert np.ptp(rgb) > 100
