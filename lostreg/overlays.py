"""Pictures for people: what was found, drawn on the photograph, or on a smaller copy of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from lostreg.draw import RGB, overlay, shrunk
from lostreg.errors import RunError
from lostreg.files import written_whole
from lostreg.runfolder import OVERLAYS

if TYPE_CHECKING:
    from lostreg.discover import Discovery
    from lostreg.images import Photograph
    from lostreg.records import Record

_JPEG_QUALITY = 90
_LONGEST_SIDE = 65_500
"""What a JPEG can hold."""
_LONGEST_NAME = 200


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
    target = overlay_path(run, record.key)
    try:
        with written_whole(target) as temporary:
            Image.fromarray(drawn).save(temporary, "JPEG", quality=_JPEG_QUALITY)
    except OSError as error:
        raise RunError(f"Cannot write {target}: {error.strerror or error}; free the disk and resume.") from error
    return target


def overlay_path(run: Path, key: str) -> Path:
    """Return where the overlay of a key lies; the key's own suffix stays, so that a.jpg and a.png differ."""
    folder, _, name = key.rpartition("/")
    if len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
        name = f"{name[:40]}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"
    return run / OVERLAYS / folder / f"{name}.jpg"
