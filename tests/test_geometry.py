"""From the grid back to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lostreg.geometry import Frame, carry_boxes, carry_mask
from lostreg.images import Photograph
from lostreg.preprocess import InputSpec, prepare
from lostreg.settings import InputSettings

SPEC = InputSpec(14, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

BOXES = [
    # LOST's published box of VOC2007 000007.jpg: multiples of 16, clipped at the width of 500
    (Frame((500, 333), (500, 333), (21, 32), 16), (8, 3, 32, 15), (128, 48, 500, 240)),
    (Frame((28, 14), (28, 14), (1, 2), 14), (0, 0, 2, 1), (0, 0, 28, 14)),
    (Frame((1, 1), (1, 1), (1, 1), 14), (0, 0, 1, 1), (0, 0, 1, 1)),
    # scaled down by two: twice the pixels
    (Frame((100, 60), (50, 30), (3, 4), 14), (1, 0, 4, 2), (28, 0, 100, 56)),
    # mirrored: what is left in the input is right in the photograph
    (Frame((100, 60), (50, 30), (3, 4), 14, mirrored=True), (1, 0, 4, 2), (0, 0, 72, 56)),
    # beyond where the padding begins there is nothing
    (Frame((50, 30), (50, 30), (3, 4), 14), (3.9, 0, 4, 3), (50, 0, 50, 30)),
]


@pytest.mark.parametrize(("frame", "grid_box", "expected"), BOXES)
def test_boxes_reach_the_photograph(frame, grid_box, expected):
    assert frame.box_to_image(grid_box) == pytest.approx(expected)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("content_wh", "grid_hw"), [((50, 30), (3, 4)), ((100, 60), (5, 8)), ((33, 20), (2, 3))])
def test_boxes_go_to_the_photograph_and_back(content_wh, grid_hw, mirrored):
    frame = Frame((100, 60), content_wh, grid_hw, 14, mirrored)
    box = (0.25, 0.5, 2.0, 1.4)
    assert frame.box_from_image(frame.box_to_image(box)) == pytest.approx(box)


def test_nothing_is_carried_from_grid_to_grid():
    small, large = Frame((28, 28), (28, 28), (2, 2), 14), Frame((28, 28), (56, 56), (4, 4), 14)
    assert carry_boxes(np.zeros((0, 4)), small, large).shape == (0, 4)
    assert not carry_mask(np.zeros((2, 2), dtype=bool), small, large).any()


def test_masks_and_boxes_are_carried_from_grid_to_grid():
    small, large = Frame((42, 28), (42, 28), (2, 3), 14), Frame((42, 28), (84, 56), (4, 6), 14)
    mask = np.array([[True, False, True], [False, True, False]])
    doubled = np.kron(mask, np.ones((2, 2), dtype=bool))
    assert (carry_mask(mask, small, large) == doubled).all()
    assert (carry_mask(doubled, large, small) == mask).all()
    flipped = Frame((42, 28), (84, 56), (4, 6), 14, mirrored=True)
    assert (carry_mask(mask, small, flipped) == doubled[:, ::-1]).all()
    assert carry_boxes(np.array([[0.0, 0, 1, 2]]), small, flipped).tolist() == [[4, 0, 6, 4]]
    assert carry_mask(mask, small, small) is mask


def test_the_mask_of_a_mirrored_look_is_mirrored_back():
    frame = Frame((42, 28), (42, 28), (2, 3), 14, mirrored=True)
    mask = np.array([[True, False, False], [True, True, False]])
    assert (frame.mask_to_image(mask) == np.kron(mask[:, ::-1], np.ones((14, 14), dtype=bool))).all()


@pytest.mark.parametrize("pad", ["none", "reflect", "resize"])
@pytest.mark.parametrize("wh", [(1, 1), (14, 28), (15, 29), (640, 480), (2000, 30), (37, 1500)])
def test_every_single_patch_box_lies_inside_and_together_they_cover(wh, pad):
    rgb = np.zeros((wh[1], wh[0], 3), dtype=np.uint8)
    _, frame = prepare(Photograph(rgb), SPEC, InputSettings(max_side=640, pad=pad))
    covered = np.zeros((wh[1], wh[0]))
    for row in range(frame.grid_hw[0]):
        for column in range(frame.grid_hw[1]):
            x0, y0, x1, y1 = frame.box_to_image((column, row, column + 1, row + 1))
            assert 0 <= x0 < x1 <= wh[0] + 1e-9
            assert 0 <= y0 < y1 <= wh[1] + 1e-9
            x, y = frame.patch_centre_to_image(row, column)
            covered[min(int(y), wh[1] - 1), min(int(x), wh[0] - 1)] = 1
    whole = frame.box_to_image((0, 0, frame.grid_hw[1], frame.grid_hw[0]))
    assert whole == pytest.approx((0, 0, *wh))
    assert covered.any()


def test_mask_at_native_size_is_each_patch_repeated_and_cut():
    frame = Frame((31, 20), (31, 20), (2, 3), 14)
    grid = np.array([[True, False, True], [False, True, False]])
    expected = np.kron(grid, np.ones((14, 14), dtype=bool))[:20, :31]
    assert (frame.mask_to_image(grid) == expected).all()


def test_mask_spans_exactly_its_box_at_native_size():
    frame = Frame((31, 20), (31, 20), (2, 3), 14)
    mask = frame.mask_to_image(np.array([[False, True, True], [False, False, True]]))
    ys, xs = np.nonzero(mask)
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == frame.box_to_image((1, 0, 3, 2))


def test_mask_of_a_scaled_photograph_has_its_size():
    frame = Frame((301, 200), (100, 67), (5, 8), 14)
    assert frame.mask_to_image(np.ones((5, 8), dtype=bool)).all()
    assert frame.mask_to_image(np.ones((5, 8), dtype=bool)).shape == (200, 301)


@pytest.mark.parametrize("pad", ["none", "reflect", "resize"])
def test_a_drawn_rectangle_is_found_within_a_patch_of_the_truth(pad):
    rgb = np.zeros((333, 500, 3), dtype=np.uint8)
    rgb[100:240, 120:300] = 255
    tensor, frame = prepare(Photograph(rgb), SPEC, InputSettings(pad=pad))
    patches = torch.nn.functional.avg_pool2d(tensor[None], 14)[0, 0].numpy()
    rows, columns = np.nonzero(patches > 0)
    box = frame.box_to_image((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    np.testing.assert_allclose(box, (120, 100, 300, 240), atol=14)
