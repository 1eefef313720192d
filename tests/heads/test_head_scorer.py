"""The second look at boxes: shapes, points read against loops and RoIAlign, mirror images, and an unfitted scorer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from heads_by_hand import randomised
from torchvision.ops import roi_align

from lostreg.heads.nets import TwoStageNet, VoteNet
from lostreg.heads.scorer import BoxScorer, box_sizes, sample

BOXES = torch.tensor([[2.0, 1.5, 6.0, 5.0], [0.0, 0.0, 9.0, 7.0], [3.3, 2.2, 4.9, 6.8], [7.5, 5.5, 9.0, 7.0]])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scorer_of(dim=6):
    """Return a scorer with random weights, small enough that no score is at its limit."""
    net = BoxScorer(dim, 4, 8).eval()
    for values in (*net.parameters(), net.axes):
        values.data = 0.3 * random(*values.shape)
    return net


def bilinear_by_hand(image, x, y):
    """Read an image (h, w) at continuous (x, y); pixels stand at their centres, and all others are 0."""
    rows, columns = image.shape
    total = 0.0
    for row in range(rows):
        for column in range(columns):
            weight = max(0, 1 - abs(x - column - 0.5)) * max(0, 1 - abs(y - row - 0.5))
            total += weight * image[row, column]
    return total


def test_points_are_read_bilinearly_over_the_enlarged_box():
    channels = random(2, 7, 9)
    read = sample(channels, BOXES)
    assert read.shape == (4, 2, 9, 9)
    for i, (x0, y0, x1, y1) in enumerate(BOXES.tolist()):
        for row in range(9):
            for column in range(9):
                x = (x0 + x1) / 2 + 1.5 * (x1 - x0) * ((column + 0.5) / 9 - 0.5)
                y = (y0 + y1) / 2 + 1.5 * (y1 - y0) * ((row + 0.5) / 9 - 0.5)
                expected = [bilinear_by_hand(image, x, y) for image in channels.double().numpy()]
                assert read[i, :, row, column].tolist() == pytest.approx(expected, abs=1e-4)


def test_where_no_point_leaves_the_grid_they_are_those_of_roi_align():
    generator = np.random.default_rng(0)
    corners = generator.uniform(5, 15, size=(20, 2))
    boxes = torch.from_numpy(np.hstack([corners, corners + generator.uniform(0.5, 8, size=(20, 2))])).float()
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    enlarged = torch.cat([centres - 1.5 * halves, centres + 1.5 * halves], dim=1)
    channels = random(3, 28, 30)
    expected = roi_align(channels[None], [enlarged], 9, sampling_ratio=1, aligned=True)
    torch.testing.assert_close(sample(channels, boxes), expected, atol=1e-4, rtol=0)
    assert sample(channels, boxes[:0]).shape == (0, 3, 9, 9)


def test_channels_are_whitened_axes_the_clipped_logit_and_one():
    net = BoxScorer(5, axes=2, width=8)
    net.mean.copy_(random(5, seed=1))
    net.axes.copy_(random(5, 2, seed=2))
    tokens, logit = random(3, 4, 5), torch.linspace(-9, 9, 12).view(3, 4)
    found = net.channels(tokens, logit)
    assert found.shape == (4, 3, 4)
    for row in range(3):
        for column in range(4):
            token = [float(each) for each in tokens[row, column] - net.mean]
            axes = [sum(t * float(a) for t, a in zip(token, net.axes[:, k], strict=True)) for k in range(2)]
            expected = [*axes, min(max(float(logit[row, column]), -6), 6) / 3, 1]
            assert found[:, row, column].tolist() == pytest.approx(expected, abs=1e-5)


def test_sizes_are_logarithms_of_sides_in_patches():
    found = box_sizes(torch.tensor([[1.0, 2.0, 4.0, 4.0], [3.0, 3.0, 3.0, 3.0]]), 5, 8).tolist()
    assert found[0] == pytest.approx([math.log(3) - 2, math.log(2) - 2, math.log(6 / 40) + 2], abs=1e-5)
    assert found[1] == pytest.approx([math.log(0.5) - 2] * 2 + [math.log(0.25 / 40) + 2], abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_every_box_has_a_share(count):
    net = scorer_of()
    found = net.score(net.channels(random(7, 9, 6), random(7, 9)), BOXES[[0] * count])
    assert found.shape == (count,)
    assert ((found > 0) & (found < 1)).all()
    assert not found.requires_grad


def test_a_mirrored_picture_has_the_same_scores():
    net = scorer_of()
    tokens, logit = random(7, 9, 6), random(7, 9)
    x0, y0, x1, y1 = BOXES.unbind(dim=1)
    found = net.score(net.channels(tokens, logit), BOXES)
    mirrored = net.score(net.channels(tokens.flip(1), logit.flip(1)), torch.stack([9 - x1, y0, 9 - x0, y1], dim=1))
    torch.testing.assert_close(found, mirrored, atol=1e-4, rtol=0)
    assert float(found.std()) > 1e-3


def test_a_scorer_that_was_not_fitted_says_the_same_of_every_box():
    net = BoxScorer(6).eval()
    assert net.score(net.channels(random(7, 9, 6), random(7, 9)), BOXES).tolist() == [0.5] * 4


def test_the_reading_of_a_vote_head_scores_with_its_own_logit():
    net = TwoStageNet(randomised(VoteNet(6, 16, (1, 2))), scorer_of()).eval()
    tokens = random(7, 9, 6)
    with torch.inference_mode():
        reading = net.read(tokens)
    expected = net.scorer.score(net.scorer.channels(tokens, reading.logit.view(7, 9)), BOXES)
    assert torch.equal(reading.score(BOXES), expected)
    assert len(set(expected.tolist())) == 4
    assert reading.score(BOXES.double()).dtype == torch.float32
