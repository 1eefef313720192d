"""The logistic head: the minimum that another solver finds, and labels that are mended round by round."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fit_by_hand import cache_of, entry_of_block
from scipy.optimize import minimize

from lostreg.fit import logistic
from lostreg.fit.logistic import ROUNDS, fit_logistic, sample_patches


def problem(count=400, dim=5, wrong=0.1):
    """Return tokens, true labels, and labels of which a share is wrong."""
    generator = np.random.default_rng(0)
    truth = generator.random(count) < 0.3
    tokens = generator.normal(size=(count, dim)) + np.where(truth[:, None], 2.0, -1.0)
    labels = truth ^ (generator.random(count) < wrong)
    return [torch.from_numpy(each.astype(np.float32)) for each in (tokens, truth, labels)]


def test_the_first_round_finds_the_minimum_that_scipy_finds(monkeypatch):
    tokens, _, labels = problem()
    x, y = tokens.double().numpy(), labels.numpy()
    x = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)

    def objective(parameters):
        z = x @ parameters[:-1] + parameters[-1]
        return np.mean(np.logaddexp(0, z) - y * z) + 1e-3 * (parameters[:-1] ** 2).sum()

    best = minimize(objective, np.zeros(6), method="BFGS")
    monkeypatch.setattr(logistic, "ROUNDS", 1)
    net, (first,) = fit_logistic(tokens.clone(), labels)
    assert first.loss == pytest.approx(best.fun, abs=1e-4)
    logits = net(tokens[None, None])[0, 0].detach().numpy()
    np.testing.assert_allclose(logits, x @ best.x[:-1] + best.x[-1], atol=0.05)


def test_rounds_mend_wrong_labels():
    tokens, truth, labels = problem()
    net, rounds = fit_logistic(tokens.clone(), labels)
    right = ((net(tokens[None, None])[0, 0] > 0) == truth.bool()).float().mean()
    assert len(rounds) == ROUNDS
    assert float(right) > 0.97 > float((labels == truth).float().mean())
    assert rounds[-1].changed < rounds[0].changed


def test_a_constant_token_channel_does_no_harm():
    tokens, _, labels = problem()
    net, _ = fit_logistic(torch.cat([tokens, torch.ones(400, 1)], dim=1), labels)
    assert all(bool(torch.isfinite(each).all()) for each in net.parameters())


def test_the_sample_is_an_even_share_of_every_picture(tmp_path, monkeypatch):
    cache, pictures = cache_of([entry_of_block((4, 5), (0, 0, 2, 2), seed=seed) for seed in range(3)], tmp_path)
    monkeypatch.setattr(logistic, "MAX_PATCHES", 30)
    tokens, labels = sample_patches(pictures, cache, torch.device("cpu"))
    rows = [np.arange(20)[start::2] for start in (0, 1, 0)]
    expected = [cache.tokens(each.key).reshape(20, -1)[row] for each, row in zip(pictures, rows, strict=True)]
    assert torch.equal(tokens, torch.cat(expected).float())
    assert labels.tolist() == [
        float(each.mask.flatten()[i]) for each, row in zip(pictures, rows, strict=True) for i in row
    ]
