"""Every method on real photographs with the real ViT, and the CorLoc that other code measured."""

from __future__ import annotations

import functools
import time

import numpy as np
import pytest

from lostreg.datasets import open_dataset
from lostreg.discovery import on_photograph
from lostreg.evaluate import evaluate
from lostreg.methods import METHODS, tokencut
from lostreg.objects import ScoredProposal
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.settings import PARTS, MethodSettings

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def example_features(discoverer, examples):
    return [discoverer.extract(path, set(PARTS)) for path in examples]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_every_example(discoverer, example_features, method):
    for features in example_features:
        found = discoverer.discover(features, method=method, feature="v", objects=3)
        assert 1 <= len(found) <= 3
        assert found.masks.any(axis=(1, 2)).all()
        assert found.masks.sum(axis=0).max() == 1
        x0, y0, x1, y1 = found.boxes_xyxy.T
        width, height = features.frame.image_wh
        assert ((x0 >= 0) & (x0 < x1) & (x1 <= width)).all()
        assert ((y0 >= 0) & (y0 < y1) & (y1 <= height)).all()
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        assert all(each.shape == features.grid_hw and each.dtype == np.float32 for each in found.maps.values())


@pytest.mark.parametrize("method", METHODS)
def test_the_same_photograph_gives_the_same_twice(discoverer, example_features, method):
    first, second = (discoverer.discover(example_features[0], method=method, objects=2) for _ in range(2))
    assert first.boxes_xyxy.tolist() == second.boxes_xyxy.tolist()
    assert (first.masks == second.masks).all()


MEASURED = {  # on dev500, values of DINOv2 ViT-S/14
    "lost": (METHODS["lost"].propose, 50.4),
    "tokencut at tau 0.1": (functools.partial(tokencut.propose, tau=0.1), 54.4),
    "attention-seed": (METHODS["attention-seed"].propose, 66.6),
    "diffusion": (METHODS["diffusion"].propose, 67.2),
    "head-consensus": (METHODS["head-consensus"].propose, 70.0),
}


@pytest.mark.slow
def test_corloc_on_dev500(discoverer, data_root):
    """One extraction for all methods; each within 1 point of the figure that other code measured."""
    dataset = open_dataset("voc07", data_root / "voc07" / "VOCdevkit", "dev500")
    settings, boxes = MethodSettings(feature="v"), {name: {} for name in MEASURED}
    for image in dataset.images:
        features = discoverer.extract(image.path, {"v", "attention"})
        for name, (propose, _) in MEASURED.items():
            proposal = propose(features, settings, np.ones(features.grid_hw, dtype=bool))
            found = on_photograph([ScoredProposal(proposal, 1.0)] if proposal else [], features.frame, settings)
            boxes[name][image.key] = PredictedBoxes(found.boxes_xyxy, found.scores)
    truths = dataset.truths()
    corloc = {name: evaluate(truths, Predictions(name, each)).corloc.percent for name, each in boxes.items()}
    print(corloc)
    assert corloc == pytest.approx({name: percent for name, (_, percent) in MEASURED.items()}, abs=1.0)


@pytest.mark.slow
def test_head_consensus_costs_little_beside_the_vit(discoverer):
    """A 500 x 375 photograph: the whole cheap step below 3 % of the ViT's time."""
    rgb = np.random.default_rng(0).integers(0, 256, size=(375, 500, 3), dtype=np.uint8)
    shares = []
    for _ in range(9):
        started = time.perf_counter()
        features = discoverer.extract(rgb, {"v", "attention"})
        extracted = time.perf_counter()
        METHODS["head-consensus"].propose(features, MethodSettings(), np.ones(features.grid_hw, dtype=bool))
        shares.append((time.perf_counter() - extracted) / (extracted - started))
    print("shares", sorted(round(share, 4) for share in shares))
    assert np.median(shares[1:]) <= 0.03
