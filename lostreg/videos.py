"""Frames out of videos, one at a time in memory; a video that is not whole is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lostreg.errors import ImageError
from lostreg.images import Photograph

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})

_WHOLE = 0.95
"""Of the frames that a video announces; some containers only estimate them from the duration."""


def frames_in(
    path: Path, every: int = 1, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, Photograph | ImageError]]:
    """Yield name and pixels of every so-many-th frame.

    Args:
        path: the video.
        every: 1 takes all frames.
        stopped: asked at each frame; once true, nothing more is read.

    Raises:
        ImageError: the video cannot be read, holds no frame, or, after its frames, fewer than it announces.
    """
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # its lines say what our sentences say
    capture = cv2.VideoCapture(_name_for_opencv(path))
    try:
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        frames = 0
        while not stopped() and capture.grab():
            if frames % every == 0:
                decoded, bgr = capture.retrieve()
                content = Photograph(np.ascontiguousarray(bgr[:, :, ::-1])) if decoded else _bad_frame(path, frames)
                yield f"frame{frames:06d}", content
            frames += 1
    finally:
        capture.release()
    if stopped():
        return
    if frames == 0:
        raise ImageError("not-an-image", f"{path} holds no frame that can be read.")
    if frames < _WHOLE * announced:
        raise ImageError("damaged", f"{path} ends after {frames} of its {announced:.0f} frames; those are done.")


def _name_for_opencv(path: Path) -> str:
    """Return an absolute path, in which OpenCV sees neither a scheme nor an option; it takes no name outside UTF-8."""
    try:
        with path.open("rb"):
            name = str(path.absolute())
        name.encode()
    except OSError as error:
        raise ImageError("unreadable", f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeEncodeError as error:
        raise ImageError("unreadable", f"Cannot read {path}: OpenCV takes no name outside UTF-8; rename it.") from error
    return name


def _bad_frame(path: Path, frame: int) -> ImageError:
    return ImageError("damaged", f"Frame {frame} of {path} cannot be decoded.")
