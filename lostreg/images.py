"""The one door through which photographs come in: decode safely, or refuse in a sentence.

A picture is judged by its header before any pixel is decoded, so that a small file cannot claim
gigabytes. What comes out is always ``uint8`` RGB:

* EXIF orientation is applied (``upright=False`` keeps the stored frame, in which VOC and COCO annotate);
* 16-bit grey is divided by 257, not clipped; floating-point pictures are stretched from minimum to maximum;
* transparency is laid over white; palettes, CMYK, YCbCr and Lab are converted; of an animation the first
  frame counts;
* a JPEG that is many times larger than what the ViT will see of it is decoded at 1/2, 1/4 or 1/8 of its size
  (:func:`jpeg_fraction`), which its decoder does several times faster; coordinates stay those of the file.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lostreg.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What is opened. Rarer decoders are left out: each is code that strangers' bytes would reach."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm"})
"""What a folder is searched for. A file that is named is opened whatever it is called."""

MAX_PIXELS = 64_000_000
"""Above the largest common camera (50 megapixels), below what a small machine can decode (200 MB)."""

_DECODER_ERRORS = Exception
"""Strangers' bytes make decoders raise of any kind, a TypeError for a text where EXIF wants a number among them."""

_ORIENTATION_TAG = 0x0112
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BACK_TO_STORED = _TO_UPRIGHT | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
_SIDES_SWAPPED = range(5, 9)
_JPEG_FRACTIONS = (8, 4, 2)
_SPARE = 2
"""A JPEG decoded at a fraction keeps at least so many pixels for each that is needed, along the longer side: the
bicubic resize that follows then smooths away how it was made."""
_RGB = NDArray[np.uint8]


class _PillowLimitOff:
    """Holds Pillow's own limit of pixels off while any thread reads here, where a stricter one is judged.

    Pillow's is one number for the whole process: it would warn of pictures that are refused anyway, and refuse those
    that the caller allows. Other code finds it as it left it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._usual: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                Image.MAX_IMAGE_PIXELS = self._usual


_OWN_LIMIT = _PillowLimitOff()


@dataclass(frozen=True)
class Photograph:
    """A decoded picture.

    Attributes:
        rgb: ``(height, width, 3)`` ``uint8``.
        orientation: the EXIF orientation found, 1 to 8; it is already applied if ``upright``.
        upright: whether ``rgb`` is in the displayed frame; else it is in the stored one.
        full_wh: width and height of the file's picture in that frame, where ``rgb`` holds a fraction of its pixels.
    """

    rgb: _RGB
    orientation: int = 1
    upright: bool = True
    full_wh: tuple[int, int] | None = None

    @property
    def wh(self) -> tuple[int, int]:
        """Width and height of the picture, in whose pixels boxes are given."""
        return self.full_wh or (self.rgb.shape[1], self.rgb.shape[0])


ImageLike = str | Path | bytes | Photograph | NDArray[np.uint8] | Image.Image
"""What stands for a picture where one is asked for in Python."""


def read_photograph(
    source: str | Path | bytes,
    *,
    upright: bool = True,
    max_pixels: int = MAX_PIXELS,
    needed_side: int | None = None,
    name: str = "the picture",
) -> Photograph:
    """Read a picture from a file or from bytes.

    Args:
        source: a path, or the encoded file's bytes.
        upright: apply the EXIF orientation.
        max_pixels: refuse more pixels than this, from the header alone.
        needed_side: the longer side that the picture will be scaled down to, which lets a much larger JPEG be
            decoded at a fraction; ``None`` decodes all pixels.
        name: what the sentences call a picture of bytes; a file is called by its path.

    Raises:
        ImageError: with one of the reason words of :data:`lostreg.errors.ImageReason`.
    """
    if isinstance(source, bytes):
        return _read_stream(io.BytesIO(source), name, upright, max_pixels, needed_side)
    path = Path(source)
    try:
        if path.exists() and not path.is_file():
            raise ImageError("unreadable", f"Expected an image file, but {path} is not a regular file.")
        with path.open("rb") as stream:
            return _read_stream(stream, str(path), upright, max_pixels, needed_side)
    except FileNotFoundError:
        raise ImageError("missing", f"No file at {path}.") from None
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError("unreadable", f"Cannot read {path}: {cause}.") from error


def as_photograph(image: ImageLike, *, needed_side: int | None = None) -> Photograph:
    """Read whatever stands for a picture.

    Args:
        image: see :meth:`lostreg.Discoverer.extract`.
        needed_side: the longer side that it will be scaled down to, see :func:`read_photograph`.

    Raises:
        ImageError: the picture cannot be read, or an array is not ``(height, width, 3)`` ``uint8``.
    """
    if isinstance(image, Photograph):
        return image
    if isinstance(image, str | Path | bytes):
        return read_photograph(image, needed_side=needed_side)
    if not isinstance(image, np.ndarray):
        return Photograph(np.asarray(image.convert("RGB")))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(
            "not-an-image",
            f"Expected an RGB array (height, width, 3) of uint8, found {image.shape} of {image.dtype}.",
        )
    return Photograph(image)


def read_size(path: Path, *, upright: bool = True) -> tuple[int, int] | None:
    """Return width and height as :func:`read_photograph` would, from a file's header; ``None`` where it has none."""
    try:
        if not path.is_file():  # a pipe would keep the reader waiting
            return None
        with _OWN_LIMIT, path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION_TAG, 1) in _SIDES_SWAPPED
            displayed = image.format == "TIFF"  # of which alone Pillow gives the size as displayed
    except _DECODER_ERRORS:
        return None
    return (height, width) if turned and upright != displayed else (width, height)


def jpeg_fraction(wh: tuple[int, int], needed_side: int | None) -> int:
    """Return by how much a JPEG's decoder may divide a picture's sides: 1, 2, 4 or 8.

    The most that leaves the longer side twice as long as it needs to be.

    Example:
        >>> jpeg_fraction((4032, 3024), 640), jpeg_fraction((2000, 1500), 640)
        (2, 1)
    """
    spare = 1 if needed_side is None else max(wh) // (_SPARE * needed_side)
    return next((fraction for fraction in _JPEG_FRACTIONS if fraction <= spare), 1)


def _read_stream(stream: BinaryIO, name: str, upright: bool, max_pixels: int, needed_side: int | None) -> Photograph:
    if not stream.read(1):
        raise ImageError("empty", f"{name} is empty (0 bytes).")
    stream.seek(0)
    with _OWN_LIMIT:
        return _judge_and_decode(_open_header(stream, name), name, upright, max_pixels, needed_side)


def _judge_and_decode(
    image: Image.Image, name: str, upright: bool, max_pixels: int, needed_side: int | None
) -> Photograph:
    width, height = full = image.size
    if width * height > max_pixels:
        raise ImageError(
            "too-large",
            f"{name} has {width} x {height} pixels, more than the limit of {max_pixels / 1e6:g} million; "
            "scale it down or raise the limit with --max-pixels.",
        )
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        image.seek(0)
        fraction = jpeg_fraction(full, needed_side)
        if fraction > 1:  # what is no JPEG takes no notice
            image.draft(None, (max(1, width // fraction), max(1, height // fraction)))
        full_wh = None if image.size == full else full
        image.load()
        rgb = _to_rgb(_turned(image, orientation, upright))
    except _DECODER_ERRORS as error:
        raise ImageError("damaged", f"{name} is damaged or cut short: {_short(error)}.") from error
    if full_wh is not None and upright and orientation in _SIDES_SWAPPED:
        full_wh = height, width
    return Photograph(rgb, orientation if orientation in range(1, 9) else 1, upright, full_wh)


def _open_header(stream: BinaryIO, name: str) -> Image.Image:
    try:
        return Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError("not-an-image", f"{name} is not a picture in a known format ({', '.join(FORMATS)}).") from None
    except _DECODER_ERRORS as error:
        raise ImageError("damaged", f"{name} has a damaged header: {_short(error)}.") from error


def _turned(image: Image.Image, orientation: Any, upright: bool) -> Image.Image:
    """Turn a decoded picture into the displayed frame or the stored one; Pillow itself turns TIFF alone upright.

    ``ImageOps.exif_transpose`` would also write the EXIF anew, which fails where any other tag is odd.
    """
    is_upright = image.format == "TIFF"
    if orientation not in _TO_UPRIGHT or upright == is_upright:
        return image
    return image.transpose((_TO_UPRIGHT if upright else _BACK_TO_STORED)[orientation])


def _to_rgb(image: Image.Image) -> _RGB:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow opens 16-bit PNGs as I or I;16 depending on its version; both hold 0 to 65535.
        wide = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        return _grey_to_rgb((wide + 128) // 257)
    if image.mode == "F":
        return _grey_to_rgb(_stretch(np.asarray(image, dtype=np.float64)))
    if image.has_transparency_data:
        layers = image.convert("RGBA")
        canvas = Image.new("RGBA", layers.size, (255, 255, 255, 255))
        image = Image.alpha_composite(canvas, layers)
    return np.asarray(image.convert("RGB"))


def _grey_to_rgb(grey: NDArray[np.generic]) -> _RGB:
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def _stretch(values: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() == finite.max():
        return np.zeros_like(values)
    low, high = finite.min(), finite.max()
    stretched = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255 / (high - low))
    return np.asarray(np.rint(stretched))


def _short(error: BaseException) -> str:
    return str(error).strip().rstrip(".").splitlines()[0] if str(error).strip() else type(error).__name__
