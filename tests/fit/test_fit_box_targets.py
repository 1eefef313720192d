"""What the box scorer shall say: which boxes it is shown, and the IoU of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fit_by_hand import picture_of
from maps_by_hand import iou

from lostreg.fit.box_targets import box_target, candidate_boxes, inside, jittered, union_boxes
from lostreg.fit.targets import composite_target, photograph_target, trust

GRID = (9, 12)
NOWHERE = np.full(GRID, -1, dtype=np.float32)


def logit_of(*blocks):
    logit = NOWHERE.copy()
    for x0, y0, x1, y1 in blocks:
        logit[y0:y1, x0:x1] = 1
    return logit


def composite_of(blocks, logit=NOWHERE):
    owner = np.zeros(GRID, dtype=np.int64)
    for number, (x0, y0, x1, y1) in enumerate(blocks, start=1):
        owner[y0:y1, x0:x1] = number
    return composite_target("key", owner, np.array(blocks, dtype=float), logit)


def shown(picture, logit, target, seed=0):
    return box_target(picture, logit, target, np.random.default_rng(seed))


def test_a_picture_without_any_candidate_shows_nothing():
    picture = picture_of(np.zeros(GRID))
    assert candidate_boxes(picture, NOWHERE).shape == (0, 4)
    assert shown(picture, NOWHERE, photograph_target(picture, NOWHERE)) is None


@pytest.mark.parametrize(("share", "weight"), [(0, 0), (0.3, 0), (0.5, 2 / 7), (1, 1)])
def test_trust_in_a_pseudo_box(share, weight):
    assert trust(share) == pytest.approx(weight)


@pytest.mark.parametrize(("agree", "against", "taken"), [(1, 2, False), (1, 1, True), (4, 0, True)])
def test_photographs_on_whose_box_too_few_agree_are_left_out(agree, against, taken):
    others = [(0, 0, 2, 2), (8, 6, 12, 9)]
    picture = picture_of(np.zeros(GRID), [(3, 3, 7, 7)] * agree + others[:against])
    target = photograph_target(picture, NOWHERE)
    found = shown(picture, NOWHERE, target)
    assert (found is not None) == taken
    if found is not None:
        assert found.weight == pytest.approx(trust(agree / (agree + against)))


def test_overlaps_are_those_with_the_right_box_that_fits_best():
    right = [(1, 1, 4, 4), (4, 2, 8, 7), (9, 0, 11, 3)]
    picture, logit = picture_of(np.zeros(GRID), [(0, 0, 12, 9), (1, 1, 8, 7)]), logit_of((1, 1, 8, 4))
    found = shown(picture, logit, composite_of(right, logit))
    assert found.weight == 1
    assert torch.equal(found.logit, torch.from_numpy(logit))
    boxes = [tuple(box) for box in found.boxes.tolist()]
    assert len(boxes) == len(set(boxes)) == len(found.overlaps)
    expected = [max(iou(box, other) for other in right) for box in boxes]
    assert found.overlaps.tolist() == pytest.approx(expected, abs=1e-5)
    # candidates, what is right, and two neighbours as one
    assert {(0, 0, 12, 9), (1, 1, 8, 7), (1, 1, 8, 4), *right, (1, 0, 11, 4), (4, 0, 11, 7)} <= set(boxes)
    assert len(boxes) == 3 + 3 + 3 * 5 + 3 + 2  # jittered ones, and three unions of which one is a candidate


def test_boxes_stay_in_the_picture_and_have_a_size():
    picture = picture_of(np.zeros(GRID))
    boxes = np.array([[-3.0, -1, 5, 4], [11.9, 8.9, 14, 12], [3, 3, 3.2, 3.1], [0, 0, 12, 9]])
    assert inside(boxes, picture).tolist() == [[0, 0, 5, 4], [11, 8, 12, 9], [3, 3, 4, 4], [0, 0, 12, 9]]


def test_edges_move_by_a_share_of_the_side_that_they_end():
    box = np.array([2.0, 1.0, 6.0, 3.0])
    drawn = jittered(box, 4000, 0.25, np.random.default_rng(0))
    assert abs(drawn - box).max(axis=0) == pytest.approx([1, 0.5, 1, 0.5], abs=0.01)
    assert drawn.mean(axis=0) == pytest.approx(box, abs=0.05)


def test_two_boxes_as_one():
    generator = np.random.default_rng(0)
    union, like = union_boxes(np.array([1.0, 4, 3, 6]), np.array([2.0, 1, 11, 5]), generator)
    assert union.tolist() == [1, 1, 11, 6]
    assert (abs(like - union) <= [1, 0.5, 1, 0.5]).all()
    assert (like != union).all()


def test_the_generator_decides():
    picture, target = picture_of(np.zeros(GRID)), composite_of([(1, 1, 4, 4), (4, 2, 8, 7)])
    first, again, other = (shown(picture, NOWHERE, target, seed).boxes for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
