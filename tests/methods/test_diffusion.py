"""Diffusion against its equations written out with loops, and against the walk that it is the limit of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from maps_by_hand import heaviest, is_close_call, patches
from support import features_of

from lostreg.errors import FeatureError
from lostreg.methods.diffusion import MOST_PATCHES, diffuse, propose
from lostreg.settings import MethodSettings


def weights_by_hand(values):
    """Return W_ij = max(cos, 0)^2; a patch of zeros is similar to itself alone."""
    count = len(values)
    weights = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            lengths = np.sqrt((values[i] ** 2).sum()) * np.sqrt((values[j] ** 2).sum())
            cosine = (values[i] * values[j]).sum() / lengths if lengths > 0 else 0.0
            weights[i, j] = 1.0 if i == j else max(cosine, 0.0) ** 2
    return weights


def scores_by_hand(values, attention):
    """Solve (D - 0.9 W) s = D u, u = a / mean(a) - 1, for a the mean over heads."""
    weights = weights_by_hand(np.asarray(values, dtype=np.float64))
    mean = np.mean(attention, axis=0)
    degrees = np.diag(weights.sum(axis=1))
    return np.linalg.solve(degrees - 0.9 * weights, degrees @ (mean / mean.mean() - 1))


def random_case(generator, kind):
    rows, columns = (int(side) for side in generator.integers(2, 9, size=2))
    count, width = rows * columns, int(generator.integers(1, 6))
    values = generator.integers(-2, 3, size=(count, width)) if kind == "ties" else generator.normal(size=(count, width))
    attention = generator.random((int(generator.integers(1, 4)), count)) ** 3
    return values, attention, (rows, columns)


@pytest.mark.parametrize("kind", ["ties", "any"])
def test_random_maps_equal_the_equations(kind):
    generator, compared = np.random.default_rng(0), 0
    for _ in range(150):
        values, attention, grid_hw = random_case(generator, kind)
        features = features_of(values, grid_hw, "v", attention)
        proposal = propose(features, MethodSettings("diffusion"), np.ones(grid_hw, dtype=bool))
        expected = scores_by_hand(values, attention).reshape(grid_hw)
        np.testing.assert_allclose(proposal.scores, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())
        assert patches(proposal.region) == heaviest(proposal.scores)
        if not is_close_call(expected):
            assert patches(proposal.region) == heaviest(expected)
            compared += 1
    assert compared > 75


def test_the_solution_is_where_the_walk_ends():
    generator = np.random.default_rng(1)
    values, source = generator.normal(size=(30, 5)), generator.normal(size=30)
    weights = weights_by_hand(values)
    steps = weights / weights.sum(axis=1, keepdims=True)
    walked = source
    for _ in range(300):
        walked = 0.9 * steps @ walked + source
    solved = diffuse(torch.tensor(values, dtype=torch.float32), torch.tensor(source, dtype=torch.float32))
    np.testing.assert_allclose(solved, walked, rtol=1e-3, atol=1e-4)


def test_scores_are_of_the_free_patches_alone():
    generator = np.random.default_rng(2)
    values, attention = generator.normal(size=(60, 4)), generator.random((2, 60))
    free = generator.random((6, 10)) < 0.7
    proposal = propose(features_of(values, (6, 10), "v", attention), MethodSettings("diffusion"), free)
    expected = scores_by_hand(values[free.ravel()], attention[:, free.ravel()])
    np.testing.assert_allclose(proposal.scores[free], expected, rtol=1e-3, atol=1e-4)
    assert (proposal.scores[~free] == 0).all()
    assert not (proposal.region & ~free).any()


def test_the_length_of_the_values_does_not_matter():
    generator = np.random.default_rng(3)
    values, attention = generator.normal(size=(40, 4)), generator.random((1, 40))
    lengths = generator.uniform(0.5, 50, size=(40, 1))
    free = np.ones((5, 8), dtype=bool)
    first, second = (
        propose(features_of(each, (5, 8), "v", attention), MethodSettings("diffusion"), free)
        for each in (values, values * lengths)
    )
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-3, atol=1e-4)


def test_more_patches_than_the_matrix_is_held_for_are_refused_before_it_is_made():
    grid_hw = (1, MOST_PATCHES + 1)
    features = features_of(np.ones((MOST_PATCHES + 1, 1)), grid_hw, "v", np.ones((1, MOST_PATCHES + 1)))
    with pytest.raises(FeatureError, match="8192 patches, but there are 8193; use --method attention-seed"):
        propose(features, MethodSettings("diffusion"), np.ones(grid_hw, dtype=bool))
