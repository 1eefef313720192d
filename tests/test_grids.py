"""Common grids: told by the pictures that are given and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lostreg import grids
from lostreg.errors import ImageError
from lostreg.grids import common_grids
from lostreg.preprocess import InputSpec
from lostreg.settings import InputSettings
from lostreg.sources import ImageItem

SPEC = InputSpec(14, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def items(tmp_path):
    """Return a function that lists so many pictures of each size, one file per size."""

    def listed(*counted):
        made = []
        for (width, height), count in counted:
            path = tmp_path / f"{width}x{height}.png"
            Image.new("L", (width, height)).save(path)
            made += [ImageItem(f"{path.name}/{number}", str(path), path) for number in range(count)]
        return made

    return listed


def common(listed, most=4, **settings):
    return common_grids(listed, SPEC, InputSettings(**settings), upright=True, most=most)


def test_nothing_is_common_among_few_pictures(items):
    assert common([]) == []
    assert common(items(((28, 14), grids.WORTH_A_MODEL - 1))) == []
    assert common(items(((28, 14), grids.WORTH_A_MODEL))) == [(1, 2)]


def test_the_most_common_come_first_and_sizes_that_share_a_grid_count_together(items):
    many = grids.WORTH_A_MODEL
    listed = items(((14, 14), many), ((20, 40), many), ((28, 42), 1), ((70, 70), many - 1))
    assert common(listed) == [(3, 2), (1, 1)]
    assert common(listed, max_side=20) == [(2, 1), (1, 1)]


def test_they_are_no_more_than_asked_for(items):
    listed = items(*(((14 * side, 14), grids.WORTH_A_MODEL) for side in range(1, 6)))
    assert common(listed) == [(1, 1), (1, 2), (1, 3), (1, 4)]
    assert common(listed, most=1) == [(1, 1)]
    assert common(listed, most=0) == []


def test_of_very_many_an_even_sample_is_read(items, monkeypatch):
    read = []
    monkeypatch.setattr(grids, "read_size", lambda path, upright: read.append(path.name) or (28, 14))
    listed = [ImageItem(str(number), "", Path(str(number))) for number in range(5000)]
    assert common(listed) == [(1, 2)]
    assert read == [str(number) for number in range(0, 5000, 5)]


def test_what_cannot_be_read_counts_for_nothing(items, tmp_path):
    many = grids.WORTH_A_MODEL
    missing = [ImageItem("a", "a", ImageError("missing", "No file.")), ImageItem("b", "b", tmp_path / "none.jpg")]
    assert common(items(((14, 14), many - 1)) + missing) == []
    assert common(items(((14, 14), many)) + missing) == [(1, 1)]
