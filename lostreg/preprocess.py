"""From a photograph to the ViT's input, and the frame that leads back.

The rule, in order:

1. native size, unless the longer side exceeds ``max_side``: then scaled down to it, antialiased bicubic
   (Pillow's ``BICUBIC``), the aspect kept to the nearest pixel (of a JPEG of four times ``max_side`` and more, the
   decoder halves the sides first, see :func:`lostreg.images.jpeg_fraction`);
2. values to ``[0, 1]``, then the model's own mean and standard deviation;
3. up to the next multiple of the patch size, right and bottom: with zeros *after* normalisation, which is
   the mean colour (``none``: what LOST does), by reflection (``reflect``), or not padded at all but
   stretched to the nearest multiple (``resize``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lostreg.errors import UsageError
from lostreg.geometry import Frame
from lostreg.images import Photograph
from lostreg.settings import InputSettings


@dataclass(frozen=True)
class InputSpec:
    """What a model expects of its input: patch size, and the normalisation it was trained with (RGB)."""

    patch_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def prepare(photograph: Photograph, spec: InputSpec, settings: InputSettings) -> tuple[torch.Tensor, Frame]:
    """Resize, normalise and pad one photograph.

    Args:
        photograph: decoded.
        spec: the model's patch size and normalisation.
        settings: the longest side the ViT may see, and how a multiple of the patch size is reached.

    Returns:
        The input, ``(3, H, W)`` ``float32`` with ``H`` and ``W`` multiples of the patch size, and its frame.

    Raises:
        UsageError: ``max_side`` is smaller than one patch.
    """
    rgb = photograph.rgb
    frame = frame_of(photograph.wh, spec, settings)
    if frame.content_wh != (rgb.shape[1], rgb.shape[0]):
        rgb = np.asarray(Image.fromarray(rgb).resize(frame.content_wh, Image.Resampling.BICUBIC))
    return _normalise_and_pad(rgb, spec, frame, reflect=settings.pad == "reflect"), frame


def frame_of(wh: tuple[int, int], spec: InputSpec, settings: InputSettings) -> Frame:
    """Return how the patch grid will lie on a photograph of so many pixels.

    Raises:
        UsageError: ``max_side`` is smaller than one patch.
    """
    if settings.max_side is not None and settings.max_side < spec.patch_size:
        raise UsageError(
            f"--max-side must be at least one patch ({spec.patch_size} pixels), but it is {settings.max_side}."
        )
    multiple = spec.patch_size if settings.pad == "resize" else 1
    content_w, content_h = _content_size(*wh, settings.max_side, multiple)
    rows, columns = math.ceil(content_h / spec.patch_size), math.ceil(content_w / spec.patch_size)
    return Frame(wh, (content_w, content_h), (rows, columns), spec.patch_size)


def _content_size(width: int, height: int, max_side: int | None, multiple: int) -> tuple[int, int]:
    scale = 1.0 if max_side is None else min(1.0, max_side / max(width, height))
    return scaled_side(width, scale, multiple), scaled_side(height, scale, multiple)


def scaled_side(side: int, scale: float, multiple: int) -> int:
    """Return a side times a scale, to the nearest multiple that is not 0."""
    return max(multiple, round(side * scale / multiple) * multiple)


def _normalise_and_pad(rgb: NDArray[np.uint8], spec: InputSpec, frame: Frame, *, reflect: bool) -> torch.Tensor:
    scale = (1 / (255 * np.asarray(spec.std))).astype(np.float32)
    shift = (np.asarray(spec.mean) / np.asarray(spec.std)).astype(np.float32)
    values = rgb.astype(np.float32) * scale - shift
    return pad_to_grid(torch.from_numpy(values).permute(2, 0, 1), frame, reflect=reflect)


def pad_to_grid(content: torch.Tensor, frame: Frame, *, reflect: bool) -> torch.Tensor:
    """Pad a normalised picture ``(3, h, w)``, right and bottom, to the input ``(3, H, W)`` of its frame."""
    input_w, input_h = frame.input_wh
    if reflect:
        rows, columns = (
            _reflected(length, side, content.device)
            for length, side in ((input_h, content.shape[1]), (input_w, content.shape[2]))
        )
        return content[:, rows][:, :, columns].contiguous()
    canvas = content.new_zeros(3, input_h, input_w)
    canvas[:, : content.shape[1], : content.shape[2]] = content
    return canvas


def _reflected(length: int, side: int, device: torch.device) -> torch.Tensor:
    """Return for each of ``length`` places which of ``side`` pixels it shows; the edge is repeated, so 1 will do."""
    places = torch.arange(length, device=device) % (2 * side)
    return torch.minimum(places, 2 * side - 1 - places)
