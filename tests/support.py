"""Small real inputs shared by the tests."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from lostreg.features import Features
from lostreg.geometry import Frame


def frame_of(grid_hw, patch_size=14):
    """Return the frame of a photograph that fills its grid."""
    rows, columns = (int(side) for side in grid_hw)
    wh = (columns * patch_size, rows * patch_size)
    return Frame(wh, wh, (rows, columns), patch_size)


def features_of(values, grid_hw, name="k", attention=None):
    """Return features of one photograph with one projection, (N, D)."""
    tokens = {name: torch.as_tensor(np.asarray(values), dtype=torch.float32)}
    heads = None if attention is None else torch.as_tensor(attention, dtype=torch.float32)[None]
    return Features(frame_of(grid_hw), tokens, heads, class_token=heads is not None)


def picture(path, size=(80, 60), mode="RGB", **save):
    """Write a photograph-like picture: a bright disc on a textured dark ground; return its path."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    ground = np.random.default_rng(0).integers(20, 60, size=(height, width))
    disc = (x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (min(size) * 0.3) ** 2
    grey = np.where(disc, 220, ground).astype(np.uint8)
    image = Image.fromarray(np.dstack([grey, grey // 2, 255 - grey]).astype(np.uint8))
    image.convert(mode).save(path, **save)
    return path
