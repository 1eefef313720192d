"""Overlay files: one per key, inside the run folder."""

from __future__ import annotations

from lostreg.overlays import overlay_path


def test_keys_that_differ_have_overlays_that_differ(tmp_path):
    keys = ["a.jpg", "a.png", "sub/a.jpg", "a.jpg/x.jpg", "x" * 250 + ".jpg", "x" * 250 + ".png"]
    paths = [overlay_path(tmp_path, key) for key in keys]
    assert len(set(paths)) == len(keys)
    for path in paths:
        assert path.is_relative_to(tmp_path / "overlays")
        assert len(path.name.encode()) < 255
    assert paths[2] == tmp_path / "overlays" / "sub" / "a.jpg.jpg"
