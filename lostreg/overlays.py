"""Pictures for people in the run folder: the photograph with what was found drawn on it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from lostreg.draw import overlay
from lostreg.errors import RunError
from lostreg.files import written_whole
from lostreg.runfolder import OVERLAYS

if TYPE_CHECKING:
    from lostreg.discover import Discovery
    from lostreg.images import Photograph
    from lostreg.records import Record

_JPEG_QUALITY = 90
_LONGEST_NAME = 200


def write_overlay(run: Path, record: Record, discovery: Discovery, photograph: Photograph) -> Path:
    """Draw a discovery and write it below ``RUN/overlays``.

    Raises:
        RunError: the folder cannot be written.
    """
    drawn = overlay(photograph.rgb, discovery.boxes_xyxy, discovery.masks, discovery.scores, discovery.seeds_xy)
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
