"""The method of fitted heads against its three steps written out with loops, and where the head says nothing."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from maps_by_hand import components, extent, heaviest, iou, is_close_call, patches
from support import features_of

from lostreg.errors import FeatureError
from lostreg.features import HeadReading
from lostreg.geometry import Frame
from lostreg.methods import fitted, head_consensus
from lostreg.methods.fitted import LEVELS, SCORE_WEIGHT, VOTE_FROM, Votes, choose, propose
from lostreg.objects import find_objects
from lostreg.settings import MethodSettings

SETTINGS = MethodSettings("fitted")


def even(boxes):
    return torch.full((len(boxes),), 0.5)


def narrow(boxes):
    """Prefer narrow boxes, by so much that it matters beside the votes."""
    return 1 / (1 + (boxes[:, 2] - boxes[:, 0]))


def random_features(generator, grid_hw, vote=True, score=even):
    """Return features of a smooth random logit map, and votes around each patch."""
    rows, columns = grid_hw
    y, x = np.mgrid[:rows, :columns] + 0.5
    centres = generator.uniform(0, 1, size=(4, 2)) * grid_hw
    bumps = [np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / generator.uniform(2, 8)) for cy, cx in centres]
    logit = (generator.uniform(1, 5, size=4)[:, None, None] * bumps).sum(axis=0) - 1
    reach = generator.uniform(0.2, 4, size=(4, rows, columns))
    boxes = np.stack([x - reach[0], y - reach[1], x + reach[2], y + reach[3]], axis=-1).reshape(-1, 4)
    quality = generator.random(rows * columns)
    values, attention = generator.normal(size=(rows * columns, 4)), generator.random((3, rows * columns)) ** 3
    features = features_of(values, grid_hw, "v", attention / attention.sum())
    tensors = [torch.from_numpy(each.astype(np.float32)) for each in (logit.ravel(), boxes, quality)]
    return dataclasses.replace(features, reading=HeadReading(*((*tensors, score) if vote else tensors[:1])))


def candidates_by_hand(features):
    """Return the candidates of one look, or None where rounding could decide."""
    rows, columns = features.grid_hw
    logit = features.reading.logit.double().numpy().reshape(rows, columns)
    candidates = []
    for level in LEVELS:
        found = components(logit / logit.max() > level)
        mass = [sum(logit[patch] / logit.max() - level for patch in each) for each in found]
        order = sorted(range(len(found)), key=lambda i: -mass[i])
        if is_close_call(logit / logit.max(), level) or len(set(np.round(mass, 6))) < len(mass):
            return None
        candidates += [extent(found[i]) for i in order[:3]]
    regions = head_consensus.candidates(features, np.ones((rows, columns), dtype=bool))[1]
    return candidates + [extent(patches(region)) for region in regions]


def votes_by_hand(features):
    """Return boxes and weights, of sum 1."""
    rows, columns = features.grid_hw
    votes = []
    for i in range(rows * columns):
        z, q = float(features.reading.logit[i]), float(features.reading.quality[i])
        x0, y0, x1, y1 = features.reading.boxes[i].tolist()
        if z > 0:
            votes.append(((max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)), q / (1 + math.exp(-z))))
    total = sum(w for _, w in votes)
    return [(box, w / total) for box, w in votes]


def best_box_by_hand(*looks):
    """Return the candidate chosen by looks that share a grid, or None where rounding could decide."""
    each = [candidates_by_hand(look) for look in looks]
    if None in each:
        return None
    candidates = [box for found in each for box in found]
    votes = [vote for look in looks for vote in votes_by_hand(look)]
    support = [sum(w * max(iou(c, box) - VOTE_FROM, 0) for box, w in votes) / len(looks) for c in candidates]
    for look in looks:
        scores = look.reading.score(torch.tensor(candidates, dtype=torch.float64)).tolist()
        support = [each + SCORE_WEIGHT * score / len(looks) for each, score in zip(support, scores, strict=True)]
    best = max(range(len(candidates)), key=lambda i: support[i])
    rivals = [support[i] for i in range(len(candidates)) if candidates[i] != candidates[best]]
    return None if support[best] - max(rivals, default=-1) < 1e-6 else candidates[best]


@pytest.mark.parametrize("score", [even, narrow])
def test_random_readings_equal_the_three_steps(score):
    generator, compared = np.random.default_rng(0), 0
    for _ in range(60):
        grid_hw = [int(side) for side in generator.integers(3, 10, size=2)]
        features = random_features(generator, grid_hw, score=score)
        if float(features.reading.logit.max()) <= 0:
            continue
        box = best_box_by_hand(features)
        if box is not None:
            found = propose(features, SETTINGS, np.ones(features.grid_hw, dtype=bool))
            assert extent(patches(found.region)) == box == found.box_grid
            compared += 1
    assert compared > 30


@pytest.mark.parametrize("score", [even, narrow])
def test_looks_pool_candidates_votes_and_second_looks(score):
    generator, compared, turned = np.random.default_rng(6), 0, 0
    while compared < 20:
        grid_hw = [int(side) for side in generator.integers(3, 10, size=2)]
        looks = [random_features(generator, grid_hw, score=each) for each in (score, even, even)]
        boxes = [None if float(each.reading.logit.max()) <= 0 else best_box_by_hand(each) for each in looks]
        if None in boxes or (box := best_box_by_hand(*looks)) is None:
            continue
        pooled = dataclasses.replace(looks[0], looks=tuple(looks[1:]))
        found = propose(pooled, SETTINGS, np.ones(pooled.grid_hw, dtype=bool))
        assert extent(patches(found.region)) == box == found.box_grid
        compared += 1
        turned += box != boxes[0]
    assert turned > 3


def test_a_look_in_which_the_head_finds_nothing_has_no_vote():
    generator = np.random.default_rng(7)
    first, blind = random_features(generator, (8, 9)), random_features(generator, (8, 9))
    reading = dataclasses.replace(blind.reading, logit=-blind.reading.logit.abs(), score=even)
    pooled = dataclasses.replace(first, looks=(dataclasses.replace(blind, reading=reading),))
    free = np.ones((8, 9), dtype=bool)
    np.testing.assert_array_equal(
        propose(pooled, SETTINGS, free).maps["votes"], propose(first, SETTINGS, free).maps["votes"]
    )


def test_what_only_a_larger_look_shows_keeps_its_box_and_has_a_region():
    features = random_features(np.random.default_rng(8), (6, 8))
    fine = random_features(np.random.default_rng(9), (12, 16), score=lambda boxes: (boxes[:, 2] < 5) * 100.0)
    frame = Frame(features.frame.image_wh, (16 * 14, 12 * 14), (12, 16), 14)
    found = propose(
        dataclasses.replace(features, looks=(dataclasses.replace(fine, frame=frame),)),
        SETTINGS,
        np.ones((6, 8), dtype=bool),
    )
    assert found.region.any()
    x0, y0, x1, y1 = found.box_grid
    ys, xs = found.region.nonzero()
    assert abs(xs.min() - x0) <= 1 >= abs(xs.max() + 1 - x1)
    assert abs(ys.min() - y0) <= 1 >= abs(ys.max() + 1 - y1)


def test_where_the_second_look_says_the_same_of_all_boxes_the_votes_choose():
    generator, turned = np.random.default_rng(5), 0
    for _ in range(20):
        corners = (np.sort(generator.uniform(0, 9, size=(count, 2, 2)), axis=1) for count in (12, 30))
        candidates, boxes = (each.reshape(-1, 4) for each in corners)
        weights = generator.random(30)
        weights /= weights.sum()
        support = [
            sum(w * max(iou(each, box) - VOTE_FROM, 0) for box, w in zip(boxes, weights, strict=True))
            for each in candidates
        ]
        expected = [fitted.expected_iou(HeadReading(torch.ones(1), score=each), candidates) for each in (even, narrow)]
        assert choose(candidates, Votes(boxes, weights), expected[0]) == int(np.argmax(support))
        turned += choose(candidates, Votes(boxes, weights), expected[1]) != int(np.argmax(support))
    assert turned > 3


def test_a_logistic_head_gives_its_heaviest_component():
    generator = np.random.default_rng(1)
    for _ in range(20):
        features = random_features(generator, (7, 9), vote=False)
        logit = features.reading.logit.double().numpy().reshape(7, 9)
        if logit.max() <= 0 or is_close_call(logit):
            continue
        proposal = propose(features, SETTINGS, np.ones((7, 9), dtype=bool))
        assert patches(proposal.region) == heaviest(logit)
        np.testing.assert_allclose(proposal.scores, 1 / (1 + np.exp(-logit)), rtol=1e-5)


@pytest.mark.parametrize("vote", [True, False])
def test_without_a_positive_logit_the_heads_of_the_cls_token_decide(vote):
    features = random_features(np.random.default_rng(2), (6, 8), vote)
    low = dataclasses.replace(features.reading, logit=-features.reading.logit.abs())
    free = np.ones((6, 8), dtype=bool)
    found = propose(dataclasses.replace(features, reading=low), SETTINGS, free)
    plain = head_consensus.propose(features, SETTINGS, free)
    assert found.box_grid == plain.box_grid
    assert (found.region == plain.region).all()


def test_votes_are_thinned_evenly_and_clipped_to_the_grid():
    count = 20 * 25
    reading = HeadReading(torch.ones(count), torch.tensor([[-5.0, 2, 40, 9]]).repeat(count, 1), torch.ones(count))
    boxes, weights = fitted.votes_of(reading, np.ones((20, 25), dtype=bool))
    assert len(boxes) == len(weights) == math.ceil(count / (count // 150))
    assert boxes[0].tolist() == [0, 2, 25, 9]


def test_the_map_of_votes_counts_what_covers_each_patch():
    votes = Votes(np.array([[0.0, 0, 2, 1], [1.0, 0, 3, 2]]), np.array([0.25, 0.75]))
    assert fitted.vote_map(votes, (2, 3)).tolist() == [[0.25, 1.0, 0.75], [0.0, 0.75, 0.75]]


def test_several_objects_share_no_patch_and_taken_patches_change_nothing():
    generator = np.random.default_rng(3)
    features = random_features(generator, (12, 16))
    found = find_objects(features, MethodSettings("fitted", objects=4))
    assert len(found) == 4
    assert sum(each.proposal.region.astype(int) for each in found).max() == 1
    free = generator.random((12, 16)) < 0.7
    taken = torch.from_numpy(~free.ravel())
    reading = features.reading
    other = HeadReading(
        *(
            torch.where(taken[:, None] if each.ndim == 2 else taken, 99.0, each)
            for each in (reading.logit, reading.boxes, reading.quality)
        ),
        score=reading.score,
    )
    first = propose(features, SETTINGS, free)
    again = propose(dataclasses.replace(features, reading=other), SETTINGS, free)
    assert (first.region == again.region).all()


def test_features_that_no_head_has_read_are_refused():
    features = features_of(np.ones((6, 3)), (2, 3), "x")
    with pytest.raises(FeatureError, match="no head has read"):
        propose(features, SETTINGS, np.ones((2, 3), dtype=bool))
    broken = dataclasses.replace(features, reading=HeadReading(torch.full((6,), torch.nan)))
    with pytest.raises(FeatureError, match="fitted head says holds values that are not finite"):
        propose(broken, SETTINGS, np.ones((2, 3), dtype=bool))


def test_no_free_patch_is_no_object():
    features = random_features(np.random.default_rng(4), (3, 4))
    assert propose(features, SETTINGS, np.zeros((3, 4), dtype=bool)) is None
