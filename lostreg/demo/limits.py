"""What a visitor may send, stricter than the command line, and checked before a pixel is decoded."""

from __future__ import annotations

from pathlib import Path

from lostreg.errors import ImageError
from lostreg.images import Photograph, read_photograph

MEGABYTE = 1024 * 1024

MAX_PICTURE_BYTES = 20 * MEGABYTE
MAX_PICTURE_PIXELS = 36_000_000
"""Decoded at most 108 MB; common cameras and phones stay below."""

MAX_UPLOAD_BYTES = 64 * MEGABYTE
"""Of any file, archives of the batch tab included."""

MAX_BATCH_PICTURES = 50
MAX_UNPACKED_BYTES = 256 * MEGABYTE
"""What the members of one archive may come to, whatever they claim."""

DISPLAY_SIDE = 1024
"""Longest side of what is sent back to be looked at; coordinates stay those of the picture itself."""

MAP_SIDE = 480


def read_bytes(path: Path) -> bytes:
    """Read an uploaded picture's file.

    Raises:
        ImageError: it is larger than a picture may be, or has gone from the server.
    """
    try:
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise too_many_bytes()
        return path.read_bytes()
    except OSError:
        raise ImageError("missing", "The picture is no longer on the server; please choose it again.") from None


def decode(content: bytes, needed_side: int | None = None) -> Photograph:
    """Decode a picture, or refuse it from its header.

    Args:
        content: the encoded picture.
        needed_side: the longer side that the ViT will see of it.

    Raises:
        ImageError: not a picture, damaged, or with more pixels than this page takes.
    """
    try:
        return read_photograph(content, max_pixels=MAX_PICTURE_PIXELS, needed_side=needed_side)
    except ImageError as error:
        if error.reason != "too-large":
            raise
        raise ImageError(
            "too-large",
            f"The picture has more than {MAX_PICTURE_PIXELS / 1e6:g} million pixels, the limit of this page; "
            "scale it down, or use the command line.",
        ) from error


def too_many_bytes() -> ImageError:
    """Return the refusal of a file that is too large for a picture."""
    limit = MAX_PICTURE_BYTES // MEGABYTE
    return ImageError("too-large", f"The picture's file is larger than {limit} MB, the limit of this page.")
