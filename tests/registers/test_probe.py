"""Linear probes on tokens that know their place, and on tokens that do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lostreg.errors import UsageError
from lostreg.registers.probe import Sample, probe_tokens

GRID = (4, 5)


def sample(index, forgetful):
    """Return tokens that hold position and pixels, but for the forgetful ones."""
    draw = torch.Generator().manual_seed(index)
    inputs = torch.randn(3, GRID[0] * 2, GRID[1] * 2, generator=draw)
    pixels = inputs.reshape(3, GRID[0], 2, GRID[1], 2).permute(1, 3, 0, 2, 4).reshape(20, 12)
    rows = torch.arange(20) // GRID[1]
    place = torch.stack([rows, torch.arange(20) % GRID[1]], dim=1).float()
    tokens = torch.cat([place, pixels, torch.randn(20, 3, generator=draw)], dim=1)
    tokens[torch.from_numpy(forgetful)] = 0
    return Sample(tokens, inputs, GRID)


def test_tokens_that_know_are_told_from_those_that_do_not():
    forgetful = np.zeros(20, np.bool_)
    forgetful[[0, 7]] = True
    probed = probe_tokens(lambda index: sample(index, forgetful), [forgetful] * 11)
    assert (probed.pictures_fitted, probed.pictures_judged) == (6, 5)
    assert (probed.normal.tokens, probed.outliers.tokens) == (90, 10)
    assert probed.normal.position_hits > 95
    assert probed.normal.position_distance < 0.3 < probed.outliers.position_distance
    assert probed.normal.pixel_error < 0.5 < probed.outliers.pixel_error


def test_without_outliers_there_is_nothing_to_judge_of_them():
    none = np.zeros(20, np.bool_)
    probed = probe_tokens(lambda index: sample(index, none), [none] * 4)
    assert probed.outliers.tokens == 0
    assert probed.outliers.position_hits is None


def test_one_picture_is_too_few():
    with pytest.raises(UsageError, match="needs at least 2 pictures"):
        probe_tokens(lambda index: sample(index, np.zeros(20, np.bool_)), [np.zeros(20, np.bool_)])
