"""Composites: what is pasted is what the boxes say, the same for the same seed, and nothing where nothing fits."""

from __future__ import annotations

import numpy as np
import pytest
from fit_by_hand import BLUE, PATCH, RED, cache_of, entry_of_block

from lostreg.fit import composites
from lostreg.fit.composites import Composer
from lostreg.regions import bounding_box

GRID = (12, 16)


def composer_of(blocks, tmp_path, sharp=4.0):
    entries = [
        entry_of_block(GRID, block, seed=index, colour=(RED, BLUE)[index % 2]) for index, block in enumerate(blocks)
    ]
    cache, pictures = cache_of(entries, tmp_path)
    logits = [np.where(each.mask.numpy(), sharp, -sharp).astype(np.float32) for each in pictures]
    descriptors = np.eye(len(blocks), 8, dtype=np.float32)
    return Composer(pictures, logits, descriptors, cache.rgb)


@pytest.fixture
def composer(tmp_path):
    """Return a composer of a red and a blue picture with a rectangle each."""
    return composer_of([(5, 3, 9, 8), (4, 4, 10, 8)], tmp_path)


def test_without_pictures_or_lone_objects_nothing_is_made(tmp_path):
    assert composer_of([], tmp_path).make((0, 0)) is None
    touching = composer_of([(0, 3, 4, 8), (5, 0, 9, 12)], tmp_path)
    assert touching.sources == []
    assert touching.make((0, 0)) is None


def test_sources_are_lone_compact_and_off_the_border(tmp_path):
    blocks = [(5, 3, 9, 8), (0, 3, 4, 8), (2, 2, 15, 10), (5, 3, 6, 4), (2, 1, 14, 10)]
    chosen = composer_of(blocks, tmp_path)
    assert chosen.sources == [0]  # the others: on the border, in the padding's column, too small, too large
    assert 0 in chosen.targets


def test_boxes_are_the_extents_of_what_is_visible(composer):
    two, three = 0, 0
    for index in range(40):
        made = composer.make((0, index))
        assert made is not None
        assert made.rgb.shape == (GRID[0] * PATCH, GRID[1] * PATCH, 3)
        assert made.owner.shape == GRID
        count = len(made.boxes)
        two, three = two + (count == 2), three + (count == 3)
        assert 2 <= count <= 3
        assert set(np.unique(made.owner)) <= set(range(count + 1))
        for number, (x0, y0, x1, y1) in enumerate(made.boxes, start=1):
            left, top, right, bottom = bounding_box(made.owner == number)
            assert x0 - 0.5 <= left
            assert y0 - 0.5 <= top
            assert right <= x1 + 0.5
            assert bottom <= y1 + 0.5
            assert abs((x1 - x0) - (right - left)) < 2.5
    assert two > 15
    assert three > 3


def test_objects_are_red_or_blue_and_the_ground_stays_grey(composer):
    for index in range(10):
        made = composer.make((3, index))
        for number, (x0, y0, x1, y1) in enumerate(made.boxes, start=1):
            rows, columns = np.nonzero(made.owner == number)
            inner = [(r, c) for r, c in zip(rows, columns, strict=True) if x0 + 1 < c < x1 - 2 and y0 + 1 < r < y1 - 2]
            for row, column in inner:
                colour = made.rgb[row * PATCH + 7, column * PATCH + 7].astype(int)
                assert min(abs(colour - RED).sum(), abs(colour - BLUE).sum()) < 60
        assert tuple(made.rgb[0, 0]) == (120, 120, 120) or made.owner[0, 0] > 0


def test_the_seed_decides(composer):
    first, again, other = (composer.make(seed) for seed in ((0, 7), (0, 7), (1, 7)))
    assert (first.rgb == again.rgb).all()
    assert (first.boxes == again.boxes).all()
    assert first.rgb.shape != other.rgb.shape or (first.rgb != other.rgb).any()


def test_an_object_from_the_same_picture_is_mirrored(tmp_path, monkeypatch):
    monkeypatch.setattr(composites, "SAME_PICTURE", 1.0)
    alone = composer_of([(5, 3, 9, 8)], tmp_path)
    made = alone.make((0, 0))
    assert len(made.boxes) >= 2
    areas = (made.boxes[:, 2:] - made.boxes[:, :2]).prod(axis=1)
    assert 0.2 < areas[1] / areas[0] < 2.5
