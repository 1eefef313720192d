"""eval/tiling.py: tiles cover a grid once, and the script as a user runs it, on two photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support import frame_of, short_lists
from tiling import joined, tiles_of

from lostreg.features import Features

SCRIPT = Path(__file__).parent.parent / "eval" / "tiling.py"


@pytest.mark.parametrize(("grid_hw", "count"), [((1, 1), 1), ((1, 5), 2), ((2, 2), 4), ((7, 4), 4)])
def test_tiles_cover_every_patch_once(grid_hw, count):
    covered = np.zeros(grid_hw, dtype=int)
    for tile in tiles_of(grid_hw):
        covered[tile] += 1
    assert len(tiles_of(grid_hw)) == count
    assert (covered == 1).all()


def test_joined_tiles_lie_where_they_were_cut_and_attention_sums_to_one():
    frame = frame_of((3, 5))
    values, tiles = torch.arange(30.0).reshape(3, 5, 2), []
    for rows, columns in tiles_of((3, 5)):
        part = values[rows, columns]
        tokens = {"v": part.reshape(-1, 2)}
        patches = len(tokens["v"])
        attention = torch.full((1, 4, patches), 1 / patches)
        tiles.append(Features(frame_of(part.shape[:2]), tokens, attention, class_token=True))
    whole = joined(tiles, frame)
    assert torch.equal(whole.projection("v"), values.reshape(15, 2))
    torch.testing.assert_close(whole.class_attention(), torch.full((4, 15), 1 / 15))


@pytest.mark.weights
@pytest.mark.usefixtures("offline_weights")
def test_a_table_of_two_photographs(data_root, tmp_path):
    folder = short_lists(data_root, tmp_path, two=2)
    command = [
        sys.executable,
        str(SCRIPT),
        "--root",
        str(folder),
        "--split",
        "two",
        "--output",
        str(tmp_path / "table"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((tmp_path / "table.json").read_text())
    assert [variant["rows"]["head-consensus"]["corloc"]["images"] for variant in found["variants"]] == [2, 2, 2]
    assert "four tiles, one graph" in (tmp_path / "table.md").read_text()
