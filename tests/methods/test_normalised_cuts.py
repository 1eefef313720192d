"""TokenCut and MaskCut against the generalised eigenproblem of their papers, solved densely as published."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from maps_by_hand import components, patches
from support import features_of

from lostreg.errors import FeatureError
from lostreg.methods import ncut
from lostreg.methods.maskcut import propose as maskcut
from lostreg.methods.tokencut import propose as tokencut
from lostreg.objects import find_objects
from lostreg.settings import MethodSettings

SETTINGS = MethodSettings("tokencut", feature="k")


def graph_by_hand(values, tau):
    """Return W: 1 where the cosine exceeds tau, else 1e-5; ``None`` where a cosine lies on tau."""
    count = len(values)
    weights = np.full((count, count), 1e-5)
    for i in range(count):
        for j in range(count):
            lengths = np.linalg.norm(values[i]) * np.linalg.norm(values[j])
            cosine = (values[i] * values[j]).sum() / lengths if lengths > 0 else 0.0
            if abs(cosine - tau) < 1e-6:
                return None
            if cosine > tau:
                weights[i, j] = 1.0
    return weights


def cut_by_hand(values, tau):
    """Return y of (D - W) y = lambda D y, either sign; ``None`` where it is not unique or rounding decides."""
    weights = graph_by_hand(np.asarray(values, dtype=np.float64), tau)
    if weights is None or len(weights) < 3:
        return None
    degrees = np.diag(weights.sum(axis=1))
    eigenvalues, vectors = scipy.linalg.eigh(degrees - weights, degrees)
    y = vectors[:, 1]
    close = np.abs(y - y.mean()).min() < 1e-7 * np.abs(y).max()
    peaks = {np.sign(each) for each in y if abs(each) > (1 - 1e-6) * np.abs(y).max()}
    if close or len(peaks) > 1 or min(np.diff(eigenvalues)[:2]) < 1e-7:
        return None
    return y


def peak_by_hand(y):
    """Return the first index of largest magnitude; entries that are equal up to rounding are equal."""
    return next(i for i in range(len(y)) if abs(y[i]) > (1 - 1e-6) * max(abs(each) for each in y))


def tokencut_by_hand(y, grid_hw):
    """Return (seed, component): the procedure as published, on y (N,)."""
    foreground = y > sum(y) / len(y)
    seed = peak_by_hand(y)
    if not foreground[seed]:
        foreground = ~foreground
    row, column = divmod(seed, grid_hw[1])
    return (row, column), next(each for each in components(foreground.reshape(grid_hw)) if (row, column) in each)


def maskcut_by_hand(y, grid_hw):
    """Return the mask of one round: as TokenCut, but 3 corners of the picture make a side the background."""
    if y[peak_by_hand(y)] < 0:
        y = -y
    foreground = (y > y.mean()).reshape(grid_hw)
    if sum(int(foreground[at]) for at in ((0, 0), (0, -1), (-1, 0), (-1, -1))) >= 3:
        foreground = ~foreground
        y = -y
    seed = next(i for i in range(len(y)) if y[i] > (1 - 1e-6) * y.max())
    patch = divmod(seed, grid_hw[1])
    return patch, next(each for each in components(foreground) if patch in each)


def random_maps(kind, number):
    generator = np.random.default_rng(["ties", "blobs", "any"].index(kind))
    for _ in range(number):
        rows, columns = (int(side) for side in generator.integers(1, 9, size=2))
        count, width = rows * columns, int(generator.integers(2, 7))
        if kind == "ties":
            values = generator.integers(-1, 2, size=(count, width))
        elif kind == "blobs":
            centres = generator.normal(size=(3, width)) * 2
            values = centres[(np.arange(count) % columns) * 3 // columns] + generator.normal(size=(count, width))
        else:
            values = generator.normal(size=(count, width))
        yield values, (rows, columns)


@pytest.mark.parametrize(("kind", "least"), [("ties", 20), ("blobs", 60), ("any", 60)])
def test_random_maps_equal_the_published_procedures(kind, least):
    compared = corners = 0
    for values, grid_hw in random_maps(kind, 150):
        free = np.ones(grid_hw, dtype=bool)
        features = features_of(values, grid_hw)
        if (y := cut_by_hand(values, 0.2)) is not None:
            seed, component = tokencut_by_hand(y, grid_hw)
            found = tokencut(features, SETTINGS, free)
            assert (found.seed_rc, patches(found.region)) == (seed, component)
            compared += 1
        if (y := cut_by_hand(values, 0.15)) is not None:
            seed, component = maskcut_by_hand(y, grid_hw)
            found = maskcut(features, SETTINGS, free)
            assert (found.seed_rc, patches(found.region)) == (seed, component)
            corners += (found.seed_rc, patches(found.region)) != tokencut_by_hand(y, grid_hw)
    assert compared > least
    assert corners > 0


def test_another_solver_and_the_other_sign_change_nothing(monkeypatch):
    def other_solver(matrix, subset_by_index):
        eigenvalues, vectors = np.linalg.eigh(matrix)
        first, last = subset_by_index
        return eigenvalues[first : last + 1], -vectors[:, first : last + 1]

    cases = [(v, g) for v, g in random_maps("blobs", 60) if cut_by_hand(v, 0.2) is not None]
    cases = [(v, g) for v, g in cases if cut_by_hand(v, 0.15) is not None]
    assert len(cases) > 20

    def answers():
        for values, grid_hw in cases:
            for method in (tokencut, maskcut):
                found = method(features_of(values, grid_hw), SETTINGS, np.ones(grid_hw, dtype=bool))
                yield found.seed_rc, patches(found.region)

    expected = list(answers())
    monkeypatch.setattr(ncut, "eigh", other_solver)
    assert list(answers()) == expected


def drawn(rows, columns, **areas):
    """Return features of a uniform ground with rectangles (y0, y1, x0, x1), each unlike all others."""
    grid = np.zeros((rows, columns), dtype=int)
    for number, (y0, y1, x0, x1) in enumerate(areas.values(), start=1):
        grid[y0:y1, x0:x1] = number
    return features_of(np.eye(len(areas) + 1)[grid.ravel()], grid.shape), grid


def test_equal_entries_seed_in_reading_order():
    features, _ = drawn(6, 8, first=(1, 3, 1, 3))
    assert tokencut(features, SETTINGS, np.ones((6, 8), dtype=bool)).seed_rc == (1, 1)


def test_the_side_with_three_corners_is_no_object_of_maskcut():
    values = np.tile([1.0, 0.0], (30, 1))
    corners = [0, 5, 24]
    values[corners] = [0.0, 1.0]
    features, free = features_of(values, (5, 6)), np.ones((5, 6), dtype=bool)
    assert patches(tokencut(features, SETTINGS, free).region) == {(0, 0)}
    found = maskcut(features, SETTINGS, free)
    assert found.region.sum() == 27
    assert found.scores[found.region].min() > found.scores[0, 0]
    values[24] = [1.0, 0.0]  # two corners do not suffice
    assert patches(maskcut(features_of(values, (5, 6)), SETTINGS, free).region) == {(0, 0)}


def test_rounds_find_one_object_after_the_other():
    features, grid = drawn(10, 12, first=(1, 4, 1, 4), second=(6, 9, 7, 11))
    for method in ("tokencut", "maskcut"):
        found = find_objects(features, MethodSettings(method, feature="k", objects=3))
        assert [np.unique(grid[each.proposal.region]).tolist() for each in found] == [[2], [1]], method


def test_a_later_mask_of_one_percent_ends_maskcut():
    features, _ = drawn(20, 20, first=(1, 6, 1, 6), second=(10, 12, 10, 12))
    for method, sizes in (("tokencut", [25, 4]), ("maskcut", [25])):
        found = find_objects(features, MethodSettings(method, feature="k", objects=3))
        assert [int(each.proposal.region.sum()) for each in found] == sizes
    features, _ = drawn(20, 20, small=(10, 12, 10, 12))  # the first mask may be small
    found = find_objects(features, MethodSettings("maskcut", feature="k", objects=3))
    assert [int(each.proposal.region.sum()) for each in found] == [4]


def test_tau_is_published_unless_given():
    generator = np.random.default_rng(7)
    values, free = generator.normal(size=(48, 6)) + 0.6, np.ones((6, 8), dtype=bool)
    features = features_of(values, (6, 8))
    regions = {tau: patches(tokencut(features, SETTINGS, free, tau=tau).region) for tau in (0.1, 0.2, 0.6)}
    assert regions[0.2] == patches(tokencut(features, SETTINGS, free).region)
    for tau, region in regions.items():
        assert region == tokencut_by_hand(cut_by_hand(values, tau), (6, 8))[1]
    assert len(set(map(frozenset, regions.values()))) > 1


@pytest.mark.parametrize("method", [tokencut, maskcut])
def test_taken_patches_leave_the_graph(method):
    generator = np.random.default_rng(4)
    values, free = generator.normal(size=(60, 4)), generator.random((6, 10)) < 0.7
    found = method(features_of(values, (6, 10)), SETTINGS, free)
    assert not (found.region & ~free).any()
    values[~free.ravel()] = 1000
    again = method(features_of(values, (6, 10)), SETTINGS, free)
    assert found.seed_rc == again.seed_rc
    assert (found.region == again.region).all()


def large_map(seed, rows=14, columns=20):
    """Return features of two soft areas on a ground, (280, 16): too many patches for the dense solver."""
    generator = np.random.default_rng(seed)
    ground, _ = drawn(rows, columns, first=(2, 7, 2, 9), second=(8, 13, 10, 18))
    values = ground.tokens["k"].numpy() @ generator.normal(size=(3, 16)) * 1.5
    return values + generator.normal(size=values.shape)


@pytest.mark.parametrize("kept", [ncut.KEPT_UP_TO, 0])
def test_lanczos_finds_what_the_dense_solver_finds(kept, monkeypatch):
    monkeypatch.setattr(ncut, "KEPT_UP_TO", kept)
    for seed in range(5):
        values = large_map(seed)
        expected = cut_by_hand(values, 0.2)
        y = ncut.second_eigenvector(torch.from_numpy(values), 0.2)
        expected *= np.sign(expected[peak_by_hand(expected)])
        np.testing.assert_allclose(y / np.linalg.norm(y), expected / np.linalg.norm(expected), atol=1e-8)
        again = ncut.second_eigenvector(torch.from_numpy(values), 0.2)
        assert (again == y).all()


def test_where_lanczos_does_not_converge_the_dense_solver_answers_or_it_is_said(monkeypatch):
    values = torch.from_numpy(large_map(0))
    expected = ncut.second_eigenvector(values, 0.2)

    monkeypatch.setattr(ncut, "_MOST_STEPS", 2)
    np.testing.assert_allclose(ncut.second_eigenvector(values, 0.2), expected, atol=1e-8)
    monkeypatch.setattr(ncut, "KEPT_UP_TO", 100)
    with pytest.raises(FeatureError, match="--method lost"):
        ncut.second_eigenvector(values, 0.2)
