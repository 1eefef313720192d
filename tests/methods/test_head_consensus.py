"""Head consensus against its four steps written out with loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from maps_by_hand import extent, heaviest, iou, is_close_call, patches
from support import features_of

from lostreg.discovery import on_photograph
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.methods.head_consensus import LEVELS, propose, vote
from lostreg.objects import find_objects
from lostreg.settings import MethodSettings

SETTINGS = MethodSettings("head-consensus")


def maps_by_hand(values, attention):
    """Return s_h / max s_h, s_h = V (V^T w_h - mean v), w_h = a_h^2 / sum a_h^2, where some s_h > 0."""
    maps = []
    for head in attention:
        weights = [float(a) ** 2 / sum(float(b) ** 2 for b in head) for a in head]
        direction = sum(w * v for w, v in zip(weights, values, strict=True)) - sum(values) / len(values)
        scores = np.array([(v * direction).sum() for v in values])
        if scores.max() > 0:
            maps.append(scores / scores.max())
    return maps


def vote_by_hand(boxes):
    """Return the winner's index, the first of equals within rounding, and the mean of the boxes near it."""
    support = [sum(max(iou(each, other) - 0.5, 0) for other in boxes) for each in boxes]
    winner = next(i for i, each in enumerate(support) if each > max(support) - 1e-9)
    near = [each for each in boxes if iou(each, boxes[winner]) >= 0.7]
    return winner, [sum(each[edge] for each in near) / len(near) for edge in range(4)]


def features_in(frame, values, attention):
    heads = torch.as_tensor(attention, dtype=torch.float32)[None]
    return Features(frame, {"v": torch.as_tensor(values, dtype=torch.float32)}, heads, class_token=True)


def random_case(generator):
    """Return values with a few unlike areas, attention, and a frame whose last row and column are padded."""
    rows, columns = (int(side) for side in generator.integers(2, 11, size=2))
    ys, xs = np.divmod(np.arange(rows * columns), columns)
    areas = (xs > columns // 2) + 2 * (ys > rows // 2)
    width = int(generator.integers(2, 7))
    values = generator.normal(size=(4, width))[areas] * 2 + generator.normal(size=(len(areas), width)) * 0.7
    heads = int(generator.integers(1, 7))
    attention = generator.random((heads, len(areas))) ** 3 * (1 + 3 * (areas == generator.integers(0, 4)))
    content = (14 * columns - int(generator.integers(0, 14)), 14 * rows - int(generator.integers(0, 14)))
    return values, attention / attention.sum(), Frame(content, content, (rows, columns), 14)


def test_random_maps_equal_the_four_steps():
    generator, compared = np.random.default_rng(0), 0
    for _ in range(300):
        values, attention, frame = random_case(generator)
        maps = [each.reshape(frame.grid_hw) for each in maps_by_hand(values, attention)]
        proposal = propose(features_in(frame, values, attention), SETTINGS, np.ones(frame.grid_hw, dtype=bool))
        if not maps:
            assert proposal is None
            continue
        if any(is_close_call(each, level, within=1e-5) for each in maps for level in LEVELS):
            continue
        regions = [heaviest(each, level) for each in maps for level in LEVELS]
        right, bottom = (side / 14 for side in frame.content_wh)
        boxes = [(x0, y0, min(x1, right), min(y1, bottom)) for x0, y0, x1, y1 in map(extent, regions)]
        winner, box = vote_by_hand(boxes)
        assert patches(proposal.region) == regions[winner]
        assert proposal.box_grid == pytest.approx(box)
        np.testing.assert_allclose(proposal.scores, maps[winner // 4], rtol=1e-3, atol=1e-4)
        compared += 1
    assert compared > 150


def test_the_vote_equals_its_definition_with_ties():
    """Few distinct boxes with small whole sides: equal supports occur."""
    generator, ties = np.random.default_rng(1), 0
    for _ in range(300):
        corner = generator.integers(0, 3, size=(int(generator.integers(1, 6)), 2))
        choices = np.hstack([corner, corner + generator.integers(1, 8, size=corner.shape)]).astype(float)
        boxes = choices[generator.integers(0, len(choices), size=int(generator.integers(1, 25)))]
        winner, box = vote_by_hand(boxes.tolist())
        assert vote(boxes)[0] == winner
        assert vote(boxes)[1] == pytest.approx(box)
        support = [sum(max(iou(each, other) - 0.5, 0) for other in boxes) for each in boxes]
        ties += len({tuple(boxes[i]) for i, each in enumerate(support) if each > max(support) - 1e-9}) > 1
    assert ties > 20


def test_an_overlap_of_exactly_the_threshold_counts_as_the_same_box():
    seven, ten = [0.0, 0.0, 7.0, 1.0], [0.0, 0.0, 10.0, 1.0]
    assert vote(np.array([ten, seven, seven]))[1] == pytest.approx([0, 0, 8, 1])
    six = [0.0, 0.0, 6.9, 1.0]
    assert vote(np.array([ten, six, six]))[1] == pytest.approx(six)


def test_one_head_against_many_is_overruled():
    values = np.zeros((40, 3))
    values[:, 2] = 1  # ground
    first, second = [10, 11, 20, 21], [26, 27, 36, 37]
    values[first], values[second] = [4, 0, 0], [0, 4, 0]
    attention = np.zeros((5, 40))
    attention[:4, first] = 0.25
    attention[4, second] = 0.25
    features = features_of(values, (4, 10), "v", attention)
    proposal = find_objects(features, SETTINGS)[0].proposal
    assert proposal.box_grid == (0, 1, 2, 3)
    assert proposal.maps["agreement"][1, 0] == pytest.approx(0.8)
    assert proposal.maps["agreement"][2, 6] == pytest.approx(0.2)
    assert [each.proposal.box_grid for each in find_objects(features, MethodSettings("head-consensus", objects=2))] == [
        (0, 1, 2, 3),
        (6, 2, 8, 4),
    ]


def test_a_head_that_gives_nothing_proposes_nothing():
    values, attention, frame = random_case(np.random.default_rng(5))
    free = np.ones(frame.grid_hw, dtype=bool)
    alone = propose(features_in(frame, values, attention), SETTINGS, free)
    with_silent = np.vstack([attention, np.zeros((1, attention.shape[1]))])
    again = propose(features_in(frame, values, with_silent), SETTINGS, free)
    assert again.box_grid == alone.box_grid
    assert (again.region == alone.region).all()


def test_the_box_goes_to_the_photograph_in_place_of_the_extent():
    generator, differing = np.random.default_rng(6), 0
    for _ in range(50):
        values, attention, frame = random_case(generator)
        found = find_objects(features_in(frame, values, attention), SETTINGS)
        discovery = on_photograph(found, frame, SETTINGS)
        if not found:
            continue
        x0, y0, x1, y1 = discovery.boxes_xyxy[0]
        assert (x0, y0, x1, y1) == pytest.approx([edge * 14 for edge in found[0].proposal.box_grid])
        assert 0 <= x0 < x1 <= frame.image_wh[0]
        assert 0 <= y0 < y1 <= frame.image_wh[1]
        ys, xs = np.nonzero(discovery.masks[0])
        differing += (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) != (x0, y0, x1, y1)
    assert differing > 5


@pytest.mark.parametrize("seed", range(5))
def test_taken_patches_change_nothing(seed):
    generator = np.random.default_rng(seed)
    values, attention = generator.normal(size=(60, 4)), generator.random((3, 60))
    free = generator.random((6, 10)) < 0.7
    proposal = propose(features_of(values, (6, 10), "v", attention), SETTINGS, free)
    assert not (proposal.region & ~free).any()
    values[~free.ravel()], attention[:, ~free.ravel()] = 1000, 50
    again = propose(features_of(values, (6, 10), "v", attention), SETTINGS, free)
    assert (proposal.region == again.region).all()
    assert proposal.box_grid == again.box_grid
