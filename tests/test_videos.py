"""Videos: streamed frame by frame; one that is not whole, or cannot be opened, is one failure."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np
import pytest

from lostreg.errors import ImageError
from lostreg.sources import list_sources
from lostreg.videos import frames_in


def video(path, frames=25):
    """Write a video whose frames get bluer; return its path."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), (number * 10, 0, 0), dtype=np.uint8))
    writer.release()
    return path


def test_a_video_without_frames_is_one_failure(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    (item,) = list_sources([str(tmp_path / "clip.mp4")], io.StringIO()).items
    with pytest.raises(ImageError, match="no frame"):
        item.read()


def test_videos_are_streamed_by_every_nth_frame(tmp_path):
    path = video(tmp_path / "clip.avi")
    items = list(list_sources([str(path)], io.StringIO(), every=10).items)
    assert [item.key.rpartition("/")[2] for item in items] == ["frame000000", "frame000010", "frame000020"]
    blue = [int(item.read().rgb[0, 0, 2]) for item in items]
    np.testing.assert_allclose(blue, [0, 100, 200], atol=6)


def test_a_video_that_is_cut_gives_its_frames_and_a_failure(tmp_path):
    path = video(tmp_path / "clip.avi")
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"idx1") * 4 // 5])
    *frames, cut = list_sources([str(path)], io.StringIO()).items
    assert 5 < len(frames) < 25
    with pytest.raises(ImageError, match=r"ends after \d+ of its 25 frames"):
        cut.read()


def test_names_that_opencv_mistakes_or_dies_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    video(tmp_path / "clip.avi")
    os.link("clip.avi", "http:2.avi")
    assert len(list(list_sources(["http:2.avi"], io.StringIO()).items)) == 25
    name = os.fsdecode(b"n\xff.avi")
    os.link("clip.avi", name)
    (item,) = list_sources([name], io.StringIO()).items
    with pytest.raises(ImageError, match="no name outside UTF-8"):
        item.read()


def test_a_video_that_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(ImageError, match=r"Cannot read .*: Is a directory"):
        list(frames_in(tmp_path))


def test_a_stop_ends_it_at_the_next_frame(tmp_path):
    path = video(tmp_path / "clip.avi")
    taken = []
    for name, _ in frames_in(path, every=2, stopped=lambda: len(taken) == 3):
        taken.append(name)
    assert taken == ["frame000000", "frame000002", "frame000004"]
