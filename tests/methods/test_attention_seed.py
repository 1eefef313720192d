"""Attention-seeded values against their equations written out with loops."""

from __future__ import annotations

import numpy as np
import pytest
from maps_by_hand import heaviest, is_close_call, patches
from support import features_of

from lostreg.methods.attention_seed import propose
from lostreg.settings import MethodSettings

SETTINGS = MethodSettings("attention-seed")


def scores_by_hand(values, attention):
    """Return s = V (V^T w - mean v), w = a^2 / sum a^2, for a the mean over heads (heads, N)."""
    values = np.asarray(values, dtype=np.float64)
    mean = [sum(head[j] for head in attention) / len(attention) for j in range(len(values))]
    total = sum(a * a for a in mean)
    direction = sum(a * a / total * v for a, v in zip(mean, values, strict=True)) - sum(values) / len(values)
    return np.array([float((v * direction).sum()) for v in values])


def found(values, attention, grid_hw, free=None):
    free = np.ones(grid_hw, dtype=bool) if free is None else free
    return propose(features_of(values, grid_hw, "v", attention), SETTINGS, free)


def random_case(generator):
    rows, columns = (int(side) for side in generator.integers(1, 12, size=2))
    count, width = rows * columns, int(generator.integers(1, 9))
    centres = generator.normal(size=(2, width)) * 2
    side = (np.arange(count) % columns > columns // 2).astype(int)
    values = centres[side] + generator.normal(size=(count, width))
    attention = generator.random((int(generator.integers(1, 5)), count)) ** 3
    return values, attention / attention.sum(), (rows, columns)


def test_random_maps_equal_the_equations():
    generator, compared = np.random.default_rng(0), 0
    for _ in range(300):
        values, attention, grid_hw = random_case(generator)
        expected = scores_by_hand(values, attention).reshape(grid_hw)
        proposal = found(values, attention, grid_hw)
        if expected.max() <= 1e-5 * (values**2).sum(axis=1).max():  # rare: an attended area of small values
            assert proposal is None
            continue
        np.testing.assert_allclose(proposal.scores, expected, rtol=1e-4, atol=1e-4 * abs(expected).max())
        assert patches(proposal.region) == heaviest(proposal.scores)
        if not is_close_call(expected):
            assert patches(proposal.region) == heaviest(expected)
            compared += 1
    assert compared > 200


def test_maps_full_of_ties_equal_the_equations():
    """Powers of two make every step exact, so that zeros are zeros and equal masses equal in any arithmetic."""
    generator, nothing, ties = np.random.default_rng(1), 0, 0
    for _ in range(300):
        grid_hw = tuple(2 ** generator.integers(0, 4, size=2))
        count = int(np.prod(grid_hw))
        values = generator.integers(-1, 2, size=(count, int(generator.integers(1, 4))))
        attended = generator.permutation(count)[: 2 ** int(generator.integers(0, np.log2(count) + 1))]
        attention = np.zeros((1, count))
        attention[0, attended] = 0.25
        expected = scores_by_hand(values, attention).reshape(grid_hw)
        proposal = found(values, attention, grid_hw)
        ties += int((expected == 0).any())
        if expected.max() <= 0:
            nothing += 1
            assert proposal is None
        else:
            assert (proposal.scores == expected).all()
            assert patches(proposal.region) == heaviest(expected)
    assert nothing > 10
    assert ties > 100


def test_of_two_equal_objects_the_first_in_reading_order_is_found():
    values = np.zeros((16, 2))
    values[[1, 13]] = [1, 0]  # two patches alike, apart from each other
    attention = np.zeros((1, 16))
    attention[0, [1, 13]] = 0.5
    assert patches(found(values, attention, (4, 4)).region) == {(0, 1)}


def test_a_constant_added_to_every_similarity_changes_nothing():
    values, attention, grid_hw = random_case(np.random.default_rng(3))
    lifted = np.hstack([values, np.full((len(values), 1), 3.0)])  # adds 9 to every product
    first, second = found(values, attention, grid_hw), found(lifted, attention, grid_hw)
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-4 * abs(first.scores).max())
    assert (first.region == second.region).all()


def test_weak_attention_counts_like_strong_attention():
    # the squares of 1e-30 are no float32
    values, attention, grid_hw = random_case(np.random.default_rng(4))
    first, second = found(values, attention, grid_hw), found(values, attention * 1e-30, grid_hw)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_of_the_free_patches_alone(seed):
    generator = np.random.default_rng(seed)
    values, attention = generator.normal(size=(60, 4)), generator.random((2, 60))
    free = generator.random((6, 10)) < 0.7
    proposal = found(values, attention, (6, 10), free)
    expected = np.zeros((6, 10))
    expected[free] = scores_by_hand(values[free.ravel()], attention[:, free.ravel()])
    np.testing.assert_allclose(proposal.scores, expected, atol=1e-4 * abs(expected).max())
    assert not (proposal.region & ~free).any()
