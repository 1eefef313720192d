"""Fitting the box scorer: principal axes and loss against their definition, and boxes that are told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fit_by_hand import cache_of, entry_of_block

from lostreg.fit import train_scorer as module
from lostreg.fit.box_targets import BoxTarget, box_target
from lostreg.fit.targets import photograph_target
from lostreg.fit.train_scorer import batch_loss, principal_axes, train_scorer
from lostreg.heads.scorer import BoxScorer

CPU = torch.device("cpu")


def test_axes_whiten_as_those_of_numpy_do():
    generator = np.random.default_rng(0)
    tokens = generator.normal(size=(400, 6)) @ generator.normal(size=(6, 6)) + generator.normal(size=6)
    mean, axes = principal_axes(torch.from_numpy(tokens).float(), 3)
    scaled = (tokens - tokens.mean(axis=0)) / tokens.std(axis=0, ddof=1)
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    whitened = left[:, :3] * math.sqrt(len(tokens) - 1)
    found = (torch.from_numpy(tokens).float() - mean) @ axes
    assert sizes[0] > sizes[1] > sizes[2]
    signs = np.sign((whitened * found.numpy()).sum(axis=0))
    np.testing.assert_allclose(found, whitened * signs, atol=2e-3)


def test_axes_beyond_the_width_of_the_tokens_are_zero():
    _, axes = principal_axes(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), 5)
    assert axes.shape == (3, 5)
    assert not axes[:, 3:].any()
    assert axes[:, :3].any(dim=0).all()


@pytest.fixture
def task(tmp_path):
    """Return targets of 40 pictures with a rectangle each, and how to read their tokens."""
    generator = np.random.default_rng(0)
    corners = generator.integers(1, 4, size=(40, 2))
    blocks = np.hstack([corners, corners + generator.integers(2, 5, size=corners.shape)])
    entries = [entry_of_block((9, 9), tuple(int(e) for e in block), seed=i) for i, block in enumerate(blocks)]
    cache, pictures = cache_of(entries, tmp_path)
    logits = [np.where(each.mask.numpy(), 1, -1).astype(np.float32) for each in pictures]
    pairs = list(zip(pictures, logits, strict=True))
    return [box_target(*pair, photograph_target(*pair), generator) for pair in pairs], cache.tokens


def fit(targets, read_tokens, seed=0, **more):
    return train_scorer(targets, read_tokens, dim=6, seed=seed, device=CPU, **more)


def test_without_pictures_every_box_is_as_good_as_any(task):
    net, history = fit([], task[1])
    assert history == []
    assert net.score(torch.ones(66, 5, 5), torch.tensor([[0.0, 0, 2, 2], [1, 1, 5, 4]])).tolist() == [0.5, 0.5]


def test_equal_seeds_give_equal_weights(task):
    nets = [fit(*task, seed=seed)[0] for seed in (0, 0, 1)]
    weights = [torch.cat([each.flatten() for each in net.state_dict().values()]) for net in nets]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_good_boxes_are_told_from_bad_ones_and_every_picture_is_counted(task, monkeypatch):
    monkeypatch.setattr(module, "EPOCHS", 20)
    counted = []
    net, history = fit(*task, advance=counted.append)
    assert sum(counted) == 20 * 40
    assert len(history) == 20
    assert history[-1] < history[0] - 0.05
    targets, read_tokens = task
    better = total = 0
    for target in targets:
        right = target.boxes[target.overlaps.argmax()]
        shifted = (right + torch.tensor([2.0, 2, 2, 2])).clamp(0, 9)
        scores = net.score(net.channels(read_tokens(target.key).float(), target.logit), torch.stack([right, shifted]))
        better, total = better + int(scores[0] > scores[1]), total + 1
    assert better > 0.9 * total


def test_the_loss_is_the_weighted_cross_entropy_towards_the_overlap():
    class Fixed(BoxScorer):
        def forward(self, samples, sizes):
            assert samples.shape == (4, 5, 9, 9)
            return torch.tensor([0.5, -1.0, 2.0, 0.0])

    overlaps = [[0.9, 0.1], [0.4, 1.0]]
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 1, 4, 3]])
    targets = [
        BoxTarget(key, torch.zeros(3, 4), boxes, torch.tensor(each), weight)
        for key, each, weight in zip("ab", overlaps, (1.0, 0.25), strict=True)
    ]
    generator = np.random.default_rng(0)
    order = np.random.default_rng(0)
    drawn = []
    for each in overlaps:
        drawn += [each[i] for i in order.permutation(2)]
        order.random()
    said = zip((0.5, -1, 2, 0), drawn, strict=True)
    terms = [math.log1p(math.exp(-z)) * y + math.log1p(math.exp(z)) * (1 - y) for z, y in said]
    expected = (terms[0] + terms[1] + 0.25 * (terms[2] + terms[3])) / 2.5
    loss = batch_loss(Fixed(6, 3, 8), targets, lambda key: torch.zeros(3, 4, 6), generator)
    assert float(loss) == pytest.approx(expected, abs=1e-5)
