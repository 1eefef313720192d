"""Polygons of masks: rasterised by pycocotools they give the mask back, holes filled."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage
from small_runs import DECODES_MASKS

from lostreg.export.outlines import polygons_of

pytestmark = DECODES_MASKS


def rasterised(polygons, shape):
    if not polygons:
        return np.zeros(shape, np.bool_)
    flat = [[float(value) for point in polygon for value in point] for polygon in polygons]
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *shape))).astype(np.bool_)


@pytest.mark.parametrize(
    ("mask", "polygons"),
    [
        ([[0, 0], [0, 0]], []),
        ([[1]], [[(0, 0), (0, 1), (1, 1), (1, 0)]]),
        ([[1, 1], [1, 1]], [[(0, 0), (0, 2), (2, 2), (2, 0)]]),
        ([[1, 0], [1, 1]], [[(0, 0), (0, 2), (2, 2), (2, 1), (1, 1), (1, 0)]]),
        ([[1, 1, 1], [1, 0, 1], [1, 1, 1]], [[(0, 0), (0, 3), (3, 3), (3, 0)]]),
    ],
)
def test_corners_are_pixel_corners(mask, polygons):
    assert polygons_of(np.array(mask, np.bool_)) == polygons


def test_random_masks_come_back_with_their_holes_filled():
    rng = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(int(side) for side in rng.integers(1, 14, 2))
        mask = rng.random(shape) < rng.random()
        assert np.array_equal(rasterised(polygons_of(mask), shape), ndimage.binary_fill_holes(mask))
