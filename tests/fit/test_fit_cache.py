"""The cache of features: whole entries, found by content, damaged ones thrown away, bounded in bytes."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import torch
from fit_by_hand import entry_of_block
from support import small_disk

from lostreg.errors import RunError
from lostreg.fit.cache import FeatureCache, picture_key
from lostreg.images import Photograph

ENTRY = entry_of_block((4, 5), (1, 1, 3, 3))


def file_of(cache, key="a"):
    return cache.folder / f"{key}.safetensors"


def test_an_empty_cache_has_nothing_and_touches_nothing(tmp_path):
    assert FeatureCache({}, root=tmp_path / "no").load("a") is None
    assert not (tmp_path / "no").exists()


def test_an_entry_comes_back_as_it_was_saved(tmp_path):
    FeatureCache({"precision": "bf16"}, root=tmp_path).save("a", ENTRY)
    cache = FeatureCache({"precision": "bf16"}, root=tmp_path)
    again = cache.load("a")
    for field in dataclasses.fields(ENTRY):
        assert torch.equal(getattr(again, field.name), getattr(ENTRY, field.name)), field.name
    assert torch.equal(cache.tokens("a"), ENTRY.tokens)
    assert (cache.rgb("a") == ENTRY.rgb.numpy()).all()
    picture = again.picture("a")
    assert (picture.frame.content_wh, picture.frame.grid_hw, picture.frame.patch_size) == ((70, 56), (4, 5), 14)
    assert FeatureCache({"precision": "fp32"}, root=tmp_path).load("a") is None


def test_pictures_are_known_by_their_pixels():
    rgb = np.zeros((2, 3, 3), dtype=np.uint8)
    other = rgb.copy()
    other[1, 1, 1] = 1
    keys = {picture_key(Photograph(each)) for each in (rgb, other, rgb.reshape(3, 2, 3))}
    assert len(keys) == 3
    assert picture_key(Photograph(rgb.copy())) in keys


def _cut(data):
    return data[: len(data) // 2]


def _flipped(data):
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.mark.parametrize("spoil", [_cut, _flipped, lambda data: b"", lambda data: b"x" * len(data)])
def test_damaged_entries_are_thrown_away(spoil, tmp_path):
    cache = FeatureCache({}, root=tmp_path)
    cache.save("a", ENTRY)
    file_of(cache).write_bytes(spoil(file_of(cache).read_bytes()))
    assert cache.load("a") is None
    assert not file_of(cache).exists()
    cache.save("a", ENTRY)
    assert cache.load("a") is not None


def test_what_was_used_longest_ago_makes_room(tmp_path):
    FeatureCache({}, root=tmp_path).save("a", ENTRY)
    old = FeatureCache({}, root=tmp_path)
    size = file_of(old).stat().st_size
    for key in "bcd":
        old.save(key, ENTRY)
    for age, key in enumerate("dbac"):  # c is the oldest
        os.utime(file_of(old, key), (1e9 - age, 1e9 - age))
    cache = FeatureCache({"other": 1}, max_bytes=4 * size + size // 2, root=tmp_path)
    assert FeatureCache({}, root=tmp_path).load("c") is not None  # used again: now the newest
    cache.save("e", ENTRY)
    assert [key for key in "abcd" if file_of(old, key).exists()] == ["b", "c", "d"]
    assert file_of(cache, "e").exists()


def test_a_fit_that_needs_more_than_its_share_is_told(tmp_path):
    cache = FeatureCache({}, max_bytes=1, root=tmp_path)
    with pytest.raises(RunError, match="raise --cache-gb"):
        cache.save("a", ENTRY)


def test_a_full_disk_is_one_sentence_and_leaves_no_half_entry(tmp_path):
    with small_disk(tmp_path / "disk", 16) as disk:
        cache = FeatureCache({}, root=disk)
        with pytest.raises(RunError, match="free the disk or set LOSTREG_CACHE"):
            cache.save("a", entry_of_block((40, 40), (1, 1, 3, 3), dim=64))
        assert list(disk.rglob("*.*")) == []
