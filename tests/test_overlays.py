"""Overlays: drawn where the objects are on a copy of any size; one file per key, inside the run folder."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support import frame_of, small_disk

from lostreg.discovery import Discovery
from lostreg.errors import RunError
from lostreg.images import Photograph
from lostreg.overlays import drawn_on, overlay_path, write_overlay
from lostreg.settings import MethodSettings


@pytest.mark.parametrize("size", [1, 0.5, 1.6])
def test_a_discovery_is_drawn_where_it_is_on_a_copy_of_any_size(size):
    frame = frame_of((20, 30))  # 420 x 280 pixels
    masks = np.zeros((1, 280, 420), dtype=bool)
    masks[0, 140:210, 210:280] = True
    box = np.array([[210.0, 140.0, 280.0, 210.0]])
    discovery = Discovery(box, masks, np.array([0.5]), [(245.0, 175.0)], {}, frame, MethodSettings())
    rgb = np.full((round(280 * size), round(420 * size), 3), 90, dtype=np.uint8)
    touched = np.argwhere((drawn_on(rgb, discovery) != rgb).any(axis=2))
    (top, left), (bottom, right) = touched.min(axis=0), touched.max(axis=0) + 1
    # lines are a few pixels wide, and the label stands above the box or inside
    assert abs(left - 210 * size) <= 4
    assert abs(right - 280 * size) <= 4
    assert abs(bottom - 210 * size) <= 4
    assert top > 140 * size - 30


def test_a_picture_beyond_what_jpeg_holds_is_drawn_smaller(tmp_path):
    wh = (66_000, 20)
    discovery = Discovery(
        np.array([[0.0, 0.0, 50.0, 20.0]]),
        np.zeros((1, 20, 66_000), dtype=bool),
        np.array([0.5]),
        [None],
        {},
        replace(frame_of((1, 1)), image_wh=wh),
        MethodSettings(),
    )
    record = SimpleNamespace(key="wide.png")
    path = write_overlay(tmp_path, record, discovery, Photograph(np.zeros((20, 66_000, 3), dtype=np.uint8)))
    with Image.open(path) as drawn:
        assert drawn.width == 65_500


@pytest.mark.parametrize("filler", [40, 80, 100, 120])
def test_a_full_disk_leaves_no_half_of_an_overlay(tmp_path, filler):
    rgb = np.random.default_rng(0).integers(0, 256, size=(280, 420, 3), dtype=np.uint8)
    discovery = Discovery(
        np.zeros((0, 4)), np.zeros((0, 280, 420), dtype=bool), np.zeros(0), [], {}, frame_of((20, 30)), MethodSettings()
    )
    with small_disk(tmp_path / "disk", 128) as disk:
        (disk / "filler").write_bytes(bytes(filler * 1024))
        with pytest.raises(RunError, match="No space left"):
            write_overlay(disk, SimpleNamespace(key="a.jpg"), discovery, Photograph(rgb))
        assert [path.name for path in disk.rglob("*") if path.is_file()] == ["filler"]


def test_keys_that_differ_have_overlays_that_differ(tmp_path):
    keys = ["a.jpg", "a.png", "sub/a.jpg", "a.jpg/x.jpg", "x" * 250 + ".jpg", "x" * 250 + ".png"]
    keys += ["a.jpg.jpg/x.jpg", "a.jpg.JPG/x.jpg", "a\0.jpg", "a\0b/x.jpg", "n\udcff.jpg"]
    keys += [f"{'y' * 300}/{number}.jpg" for number in range(2)]
    keys += [f"{'z/' * 3000}{number}.jpg" for number in range(2)]
    paths = [overlay_path(tmp_path, key) for key in keys]
    assert len(set(paths)) == len(keys)
    for path in paths:
        assert path.is_relative_to(tmp_path / "overlays")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # no overlay stands where another needs a folder
    assert all(path.is_file() for path in paths)
    assert paths[2] == tmp_path / "overlays" / "sub" / "a.jpg.jpg"
