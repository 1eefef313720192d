"""What the vote net shall say: pseudo-boxes against their definition, and composites as they were made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fit_by_hand import picture_of
from maps_by_hand import extent, heaviest, iou

from lostreg.fit.targets import composite_target, photograph_target, pseudo_box


def blob(rows, columns, centre, height=4.0, spread=6.0):
    y, x = np.mgrid[:rows, :columns] + 0.5
    return (height * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / spread) - 1).astype(np.float32)


def test_a_pseudo_box_is_the_consensus_of_heads_and_levels():
    generator, compared = np.random.default_rng(0), 0
    for _ in range(30):
        logit = blob(9, 12, generator.uniform(3, 9, size=2))
        corners = generator.integers(0, 4, size=(6, 2))
        heads = np.hstack([corners, corners + generator.integers(3, 6, size=(6, 2))])
        scaled = logit / logit.max()
        own = [extent(heaviest(scaled.astype(float), level)) for level in (0.0, 0.1, 0.2, 0.3)]
        boxes = [tuple(float(edge) for edge in box) for box in [*heads.tolist(), *own, *own]]
        support = [sum(max(iou(each, other) - 0.5, 0) for other in boxes) for each in boxes]
        winners = {each for each, s in zip(boxes, support, strict=True) if s > max(support) - 1e-6}
        if len(winners) > 1:
            continue
        near = [each for each in boxes if iou(each, *winners) >= 0.7]
        box, weight = pseudo_box(picture_of(np.zeros((9, 12)), heads), logit)
        assert box == pytest.approx(np.mean(near, axis=0), abs=1e-4)
        assert weight == pytest.approx(max(0, (len(near) / 14 - 0.3) / 0.7))
        compared += 1
    assert compared > 15


def test_without_any_candidate_no_patch_votes():
    logit = np.full((3, 4), -1, dtype=np.float32)
    assert pseudo_box(picture_of(np.zeros((3, 4))), logit) is None
    target = photograph_target(picture_of(np.zeros((3, 4))), logit)
    assert not target.owner.any()
    assert not target.foreground.any()
    assert target.weights.tolist() == [0]


def test_votes_are_cast_inside_the_box_on_the_foreground():
    logit = np.full((4, 6), -1, dtype=np.float32)
    logit[1:3, 1:3] = 1
    logit[0, 5] = 1
    target = photograph_target(picture_of(np.zeros((4, 6)), [(1, 1, 3, 3)]), logit)
    assert target.boxes.tolist() == [[1, 1, 3, 3]]
    assert target.weights.tolist() == [1]
    assert target.owner.sum() == 4
    assert target.foreground.sum() == 5


def test_a_composite_knows_its_boxes_and_leaves_other_objects_without():
    owner = np.array([[1, 1, 2, 0], [0, 0, 2, 0]])
    logit = np.array([[-1, -1, -1, 1], [-1, 1, -1, -1]], dtype=np.float32)
    target = composite_target("key", owner, np.array([[0.0, 0, 2, 1], [2.0, 0, 3, 2]]), logit)
    assert target.foreground.tolist() == [[1, 1, 1, 1], [0, 1, 1, 0]]
    assert torch.equal(target.owner, torch.from_numpy(owner))
    assert target.weights.tolist() == [1, 1]
