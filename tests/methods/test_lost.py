"""LOST against a literal re-derivation (tests/lost_by_hand.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lost_by_hand import lost_by_hand
from support import features_of

from lostreg.methods.lost import propose
from lostreg.regions import bounding_box
from lostreg.settings import MethodSettings, Offset


def check(values, grid_hw, k_patches=100, offset=Offset()):  # noqa: B008
    settings = MethodSettings(feature="k", k_patches=k_patches, offset=offset)
    proposal = propose(features_of(values, grid_hw), settings, np.ones(grid_hw, dtype=bool))
    box, seed, component = lost_by_hand(values, grid_hw, k_patches, (offset.kind, offset.value))
    assert proposal.seed_rc == (seed // grid_hw[1], seed % grid_hw[1])
    assert bounding_box(proposal.region) == box
    assert {tuple(patch) for patch in np.argwhere(proposal.region)} == component
    return proposal


def random_map(generator, kind):
    """Integers make products exact in any arithmetic, so that ties and zeros are ties and zeros everywhere."""
    rows, columns = generator.integers(1, 13, size=2)
    count, width = rows * columns, int(generator.integers(1, 9))
    if kind == "ties":
        return generator.integers(-1, 2, size=(count, width)), (rows, columns)
    if kind == "positive":
        return generator.integers(1, 5, size=(count, width)), (rows, columns)
    if kind == "blobs":
        centre = generator.integers(-4, 5, size=(2, width))
        side = (np.arange(count) % columns > columns // 2).astype(int)
        return centre[side] + generator.integers(-1, 2, size=(count, width)), (rows, columns)
    return generator.integers(-9, 10, size=(count, width)), (rows, columns)


@pytest.mark.parametrize("kind", ["ties", "positive", "blobs", "any"])
def test_random_maps_equal_the_literal_procedure(kind):
    generator = np.random.default_rng(["ties", "positive", "blobs", "any"].index(kind))
    for _ in range(250):
        values, grid_hw = random_map(generator, kind)
        check(values, grid_hw, k_patches=int(generator.integers(1, 121)))


def test_random_maps_with_a_scalar_offset_equal_the_literal_procedure():
    # offsets above every product make all similarities negative: the seed must stay alone
    generator = np.random.default_rng(5)
    for _ in range(100):
        values, grid_hw = random_map(generator, "any")
        check(values, grid_hw, offset=Offset("scalar", float(generator.choice([-700, -3, 0, 2, 40, 10_000]))))


CASES = {
    "one patch": (np.array([[2.0]]), (1, 1), (0, 0, 1, 1)),
    "one patch of zeros": (np.zeros((1, 3)), (1, 1), (0, 0, 1, 1)),
    "all zero: no similarity, the seed alone": (np.zeros((6, 2)), (2, 3), (0, 0, 1, 1)),
    "all equal: everything is similar": (np.ones((6, 2)), (2, 3), (0, 0, 3, 2)),
    "one row": (np.array([[1.0], [-1.0], [-1.0], [-1.0]]), (1, 4), (0, 0, 1, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_degenerate_maps_have_a_stated_answer(name):
    values, grid_hw, box = CASES[name]
    assert bounding_box(check(values, grid_hw).region) == box


def test_offset_above_everything_leaves_the_seed_alone():
    proposal = check(np.ones((12, 2)), (3, 4), offset=Offset("scalar", 1e6))
    assert proposal.region.sum() == 1
    assert proposal.region[proposal.seed_rc]


def test_mean_offset_equals_features_centred_by_hand():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(80, 16)).astype(np.float32) + 3
    settings = MethodSettings(feature="k", offset=Offset("mean"))
    found = propose(features_of(values, (8, 10)), settings, np.ones((8, 10), dtype=bool))
    box, seed, _ = lost_by_hand(values, (8, 10), offset=("mean", 0.0))
    assert found.seed_rc == (seed // 10, seed % 10)
    assert bounding_box(found.region) == box


def test_scaling_the_features_changes_nothing():
    values = np.random.default_rng(1).integers(-5, 6, size=(60, 4))
    first, second = check(values, (6, 10)), check(values * 8, (6, 10))
    assert (first.region == second.region).all()


def test_ties_in_degree_go_to_reading_order():
    values = np.eye(4)  # no two patches are similar: all degrees are 0
    assert check(values, (2, 2)).seed_rc == (0, 0)


def test_taken_patches_leave_the_graph():
    values = np.random.default_rng(2).integers(-5, 6, size=(60, 4))
    free = np.ones((6, 10), dtype=bool)
    free[2:4, 3:7] = False
    settings = MethodSettings(feature="k")
    proposal = propose(features_of(values, (6, 10)), settings, free)
    assert not (proposal.region & ~free).any()
    changed = values.copy()
    changed[~free.ravel()] = 1000
    again = propose(features_of(changed, (6, 10)), settings, free)
    assert (proposal.region == again.region).all()
    assert propose(features_of(values, (6, 10)), settings, np.zeros((6, 10), dtype=bool)) is None


def test_maps_explain_the_answer():
    values = np.random.default_rng(3).normal(size=(60, 4)).astype(np.float32)
    proposal = propose(features_of(values, (6, 10)), MethodSettings(feature="k"), np.ones((6, 10), dtype=bool))
    row, column = proposal.seed_rc
    assert proposal.maps["degree"].min() == proposal.maps["degree"][row, column]
    similar = torch.from_numpy(values) @ torch.from_numpy(values[row * 10 + column])
    np.testing.assert_allclose(proposal.maps["seed similarity"].ravel(), similar, rtol=1e-5, atol=1e-5)
    assert proposal.region[proposal.maps["expansion"] <= 0].sum() == 0
