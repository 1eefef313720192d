"""Pictures for people: what was found, drawn on the photograph, or on a smaller copy of it."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from lostreg.draw import RGB, overlay, shrunk
from lostreg.errors import RunError
from lostreg.files import written_whole
from lostreg.layout import OVERLAYS

if TYPE_CHECKING:
    from lostreg.discovery import Discovery
    from lostreg.images import Photograph
    from lostreg.records import Record

_JPEG_QUALITY = 90
_LONGEST_SIDE = 65_500
"""What a JPEG can hold."""
_LONGEST_NAME = 200
_LONGEST_PATH = 1000
"""In bytes, within what systems take: 255 for a name, and 4,096 for a path of which the run folder is a part."""


def drawn_on(rgb: RGB, discovery: Discovery) -> RGB:
    """Draw a discovery on its picture, or on a copy of it of any size, ``(h, w, 3)`` ``uint8``."""
    height, width = rgb.shape[:2]
    factor = np.array([width / discovery.frame.image_wh[0], height / discovery.frame.image_wh[1]])
    masks = [
        cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.bool_)
        for mask in discovery.masks
    ]
    seeds = [None if seed is None else (seed[0] * factor[0], seed[1] * factor[1]) for seed in discovery.seeds_xy]
    return overlay(
        rgb,
        discovery.boxes_xyxy * np.tile(factor, 2),
        np.array(masks, dtype=np.bool_).reshape(-1, height, width),
        discovery.scores,
        seeds,
    )


def write_overlay(run: Path, record: Record, discovery: Discovery, photograph: Photograph) -> Path:
    """Draw a discovery and write it below ``RUN/overlays``, as large as the picture was decoded, if a JPEG can be.

    Raises:
        RunError: the folder cannot be written.
    """
    drawn = drawn_on(shrunk(photograph.rgb, _LONGEST_SIDE), discovery)
    encoded = io.BytesIO()
    Image.fromarray(drawn).save(encoded, "JPEG", quality=_JPEG_QUALITY)
    target = overlay_path(run, record.key)
    try:
        with written_whole(target) as temporary:
            temporary.write_bytes(encoded.getvalue())  # Pillow itself takes no notice of a disk that is full
    except OSError as error:
        raise RunError(f"Cannot write {target}: {error.strerror or error}; free the disk and resume.") from error
    return target


def overlay_path(run: Path, key: str) -> Path:
    """Return where the overlay of a key lies.

    It has the key's name with ``.jpg`` behind it, so that a.jpg and a.png differ. Names that file systems refuse, and
    folders that could be taken for an overlay, are shortened to their beginning and a hash.
    """
    folder, _, name = key.rpartition("/")
    parts = [_hashed(part) if part.lower().endswith(".jpg") else _short(part) for part in PurePosixPath(folder).parts]
    inside = PurePosixPath(*parts, f"{_short(name)}.jpg")
    if len(_bytes(str(inside))) > _LONGEST_PATH:
        inside = PurePosixPath(f"{_hashed(key)}.jpg")
    return run / OVERLAYS / inside


def _short(part: str) -> str:
    return _hashed(part) if "\0" in part or len(_bytes(part)) > _LONGEST_NAME else part


def _hashed(part: str) -> str:
    """Return the beginning of a name, of characters that are safe everywhere, and a hash of all of it."""
    beginning = re.sub(r"[^\w-]", "_", part[:40], flags=re.ASCII)
    return f"{beginning}-{hashlib.sha256(_bytes(part)).hexdigest()[:16]}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
