"""From the grid back to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lostreg.geometry import Frame
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
]


@pytest.mark.parametrize(("frame", "grid_box", "expected"), BOXES)
def test_boxes_reach_the_photograph(frame, grid_box, expected):
    assert frame.box_to_image(grid_box) == pytest.approx(expected)


@pytest.mark.parametrize("pad", ["none", "reflect", "resize"])
@pytest.mark.parametrize("wh", [(1, 1), (14, 28), (15, 29), (640, 480), (2000, 30), (37, 1500)])
def test_every_single_patch_box_lies_inside_and_together_they_cover(wh, pad):
    rgb = np.zeros((wh[1], wh[0], 3), dtype=np.uint8)
    _, frame = prepare(rgb, SPEC, InputSettings(max_side=640, pad=pad))
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
    tensor, frame = prepare(rgb, SPEC, InputSettings(pad=pad))
    patches = torch.nn.functional.avg_pool2d(tensor[None], 14)[0, 0].numpy()
    rows, columns = np.nonzero(patches > 0)
    box = frame.box_to_image((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    np.testing.assert_allclose(box, (120, 100, 300, 240), atol=14)
