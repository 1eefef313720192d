"""The similarity graph against the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lostreg import graph
from lostreg.errors import UsageError
from lostreg.graph import SimilarityGraph, off_diagonal_quantile
from lostreg.settings import Offset


def integers(count, width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(-9, 10, size=(count, width))).float()


@pytest.mark.parametrize("count", [1, 2, 7, 64, 65, 200])
@pytest.mark.parametrize("threshold", [0.0, 5.0, -5.0])
def test_degrees_equal_the_whole_matrix_whatever_the_strip(count, threshold, monkeypatch):
    monkeypatch.setattr(graph, "_STRIP_ROWS", (16, 64))
    vectors = integers(count, 5)
    whole = (vectors @ vectors.T) - threshold
    whole.fill_diagonal_(-1)
    expected = (whole > 0).sum(dim=1)
    assert SimilarityGraph(vectors, threshold).degrees().tolist() == expected.tolist()


def test_rows_and_their_sums_equal_the_whole_matrix():
    vectors = integers(40, 6)
    whole = vectors @ vectors.T - 2.0
    made = SimilarityGraph(vectors, 2.0)
    assert made.row(7).tolist() == whole[7].tolist()
    members = torch.tensor([3, 8, 9])
    assert made.summed_rows(members).tolist() == whole[members].sum(dim=0).tolist()


@pytest.mark.parametrize("quantile", [0.0, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("count", [2, 3, 30])
def test_quantile_equals_numpy_over_all_pairs(count, quantile):
    vectors = integers(count, 4)
    whole = (vectors @ vectors.T).numpy()
    pairs = whole[~np.eye(count, dtype=bool)]
    assert off_diagonal_quantile(vectors, quantile) == np.quantile(pairs, quantile, method="lower")


def test_quantile_of_one_patch_is_zero():
    assert off_diagonal_quantile(torch.ones(1, 3), 0.5) == 0.0


def test_quantile_of_a_large_map_is_estimated_from_spaced_rows():
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(3000, 8))).float()
    whole = (vectors @ vectors.T).numpy()
    exact = np.quantile(whole[~np.eye(3000, dtype=bool)], 0.7)
    assert off_diagonal_quantile(vectors, 0.7) == pytest.approx(exact, abs=0.05)


def test_mean_offset_makes_features_sum_to_zero():
    built = SimilarityGraph.build(integers(50, 6) + 4, Offset("mean"))
    np.testing.assert_allclose(built.vectors.sum(dim=0), np.zeros(6), atol=1e-4)
    assert built.threshold == 0.0


OFFSETS = [
    ("none", Offset("none")),
    ("mean", Offset("mean")),
    ("0", Offset("scalar", 0.0)),
    ("-2.5", Offset("scalar", -2.5)),
    ("q0", Offset("quantile", 0.0)),
    ("q0.5", Offset("quantile", 0.5)),
    ("q1.5", UsageError),
    ("q", UsageError),
    ("q-0.1", UsageError),
    ("nan", UsageError),
    ("inf", UsageError),
    ("", UsageError),
    ("median", UsageError),
]


@pytest.mark.parametrize(("text", "expected"), OFFSETS)
def test_offsets_are_read_and_written(text, expected):
    if expected is UsageError:
        with pytest.raises(UsageError, match="--offset must be"):
            Offset.parse(text)
    else:
        assert Offset.parse(text) == expected
        assert Offset.parse(str(expected)) == expected
