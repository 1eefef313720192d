"""Speed that must not be lost, as ratios within one process: seconds would measure the machine, not the code.

Processor time of one thread, best over alternating rounds: another program can only make a round slower.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.linalg
import torch
from support import features_of

from lostreg.bench import alternate
from lostreg.graph import SimilarityGraph
from lostreg.methods.ncut import second_eigenvector
from lostreg.objects import find_objects
from lostreg.settings import MethodSettings

GRID = (28, 37)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def features():
    """Features of VOC's usual grid: two soft objects on a ground, 384 wide."""
    generator = np.random.default_rng(0)
    areas = np.zeros(GRID, dtype=int)
    areas[4:14, 5:18], areas[16:25, 20:33] = 1, 2
    centres = generator.normal(size=(3, 384))
    return features_of(centres[areas.ravel()] + 1.5 * generator.normal(size=(areas.size, 384)), GRID)


def best(rounds, **tasks):
    return {name: min(timing.seconds) for name, timing in alternate(tasks, rounds, time.process_time).items()}


def test_degrees_cost_less_than_the_whole_matrix_and_its_comparison(features):
    vectors = features.tokens["k"]
    graph = SimilarityGraph(vectors)
    seconds = best(20, ours=graph.degrees, whole=lambda: (vectors @ vectors.T > 0).sum(dim=1))
    assert seconds["ours"] < 0.95 * seconds["whole"], seconds


def test_losts_whole_step_costs_less_than_two_plain_products(features):
    vectors, settings = features.tokens["k"], MethodSettings(feature="k")
    seconds = best(20, step=lambda: find_objects(features, settings), product=lambda: vectors @ vectors.T)
    assert seconds["step"] < 2 * seconds["product"], seconds


def test_the_normalised_cut_is_far_below_a_dense_eigensolver(features):
    vectors = features.tokens["k"]

    def dense():
        unit = torch.nn.functional.normalize(vectors, dim=1)
        weights = np.where((unit @ unit.T > 0.2).numpy(), 1.0, 1e-5)
        degrees = np.diag(weights.sum(axis=1))
        return scipy.linalg.eigh(degrees - weights, degrees, subset_by_index=[1, 2])

    seconds = best(5, ours=lambda: second_eigenvector(vectors, 0.2), dense=dense)
    # 5 to 12 times at rest; a neighbour in the caches has been seen to leave 4.9
    assert seconds["ours"] < seconds["dense"] / 3, seconds
