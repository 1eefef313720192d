"""The rules by which tokens are outliers, on numbers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lostreg.registers.outliers import appearing_block, border, outlier_threshold, published_thresholds

NORMS = np.array([*[10.0] * 98, 12.0, 100.0], dtype=np.float32)


def test_the_papers_thresholds():
    absolute, deviation, percentile = published_thresholds(NORMS)
    assert absolute.value == 150
    mean = (980 + 112) / 100
    variance = (98 * (10 - mean) ** 2 + (12 - mean) ** 2 + (100 - mean) ** 2) / 100
    assert deviation.value == pytest.approx(mean + 3 * variance**0.5)
    assert percentile.value == pytest.approx(10 + 0.02 * 2)  # position 0.98 x 99 = 97.02, between 10 and 12
    assert all("arXiv" in each.source for each in (absolute, deviation, percentile))


def test_outliers_must_stand_apart():
    assert outlier_threshold(NORMS).value == 25
    narrow = np.array([*[10.0] * 999, 14.0], dtype=np.float32)  # above mean + 3 std, 10.4, and no outlier
    assert outlier_threshold(narrow).value == 25
    assert outlier_threshold(narrow, 13.0).value == 13
    many = np.array([*[10.0] * 96, *[200.0] * 3, 100.0], dtype=np.float32)  # mean + 3 std would be 119
    assert published_thresholds(many)[1].value > 100 > outlier_threshold(many).value


def test_outliers_appear_behind_the_block_where_half_of_them_stand_apart():
    quiet = np.full(200, 10.0, dtype=np.float32)
    mask = np.zeros(200, np.bool_)
    mask[:4] = True

    def block(*values):
        norms = quiet.copy()
        norms[: len(values)] = values
        return norms

    norms = [np.stack([quiet, block(90), block(90, 90), block(90, 90, 90, 90)])]
    assert appearing_block(norms, [mask]) == 2
    assert appearing_block(norms, [np.zeros(200, np.bool_)]) is None
    assert appearing_block([], []) is None


def test_the_border_of_a_grid():
    assert border((3, 4)).reshape(3, 4).tolist() == [[True] * 4, [True, False, False, True], [True] * 4]
    assert border((1, 2)).all()
    assert border((2, 2)).all()
