"""Components and boxes against OpenCV's and a flood fill."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from lost_by_hand import flood

from lostreg.regions import bounding_box, component_of, contrast, heaviest_component, largest_component


def mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def test_components_are_4_connected():
    diagonal = mask("#.", ".#")
    assert component_of(diagonal, 0, 0).sum() == 1
    assert largest_component(diagonal).tolist() == [[True, False], [False, False]]


def test_component_of_a_patch_that_is_not_in_the_mask_is_empty():
    assert not component_of(mask("#.", "##"), 0, 1).any()


@pytest.mark.parametrize("choose", [largest_component, lambda m: heaviest_component(np.where(m, 1.0, -1.0))])
def test_empty_mask_has_an_empty_component(choose):
    assert not choose(np.zeros((3, 4), dtype=bool)).any()


def test_components_equal_flood_fill_and_opencv_on_random_masks():
    generator = np.random.default_rng(0)
    for _ in range(200):
        random = generator.random(generator.integers(1, 20, size=2)) < 0.6
        count, labels, stats, _ = cv2.connectedComponentsWithStats(random.astype(np.uint8), connectivity=4)
        if count > 1:
            assert largest_component(random).sum() == stats[1:, cv2.CC_STAT_AREA].max()
            row, column = np.argwhere(random)[0]
            component = component_of(random, row, column)
            assert {tuple(p) for p in np.argwhere(component)} == flood(random, int(row), int(column))
            x, y, w, h = stats[labels[row, column], :4]
            assert bounding_box(component) == (x, y, x + w, y + h)


def test_heaviest_component_weighs_by_score_not_by_size():
    scores = np.array([[1, 1, 1, -1, 9]], dtype=np.float32)
    assert heaviest_component(scores).tolist() == [[False, False, False, False, True]]


def test_contrast_of_a_two_level_map_is_one_and_of_a_flat_one_zero():
    region, everything = mask("#..", "#.."), np.ones((2, 3), dtype=bool)
    assert contrast(np.where(region, 5.0, -2.0).astype(np.float32), region, everything) == 1.0
    assert contrast(np.full((2, 3), 3.0, dtype=np.float32), region, everything) == 0.0
    assert contrast(np.where(region, 5.0, -2.0).astype(np.float32), everything, everything) == 0.0
    assert contrast(np.where(region, -5.0, 2.0).astype(np.float32), region, everything) == 0.0
