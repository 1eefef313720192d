"""Small pictures in a cache, for tests of fitting."""

from __future__ import annotations

import numpy as np
import torch

from lostreg.fit.cache import Entry, FeatureCache, Picture
from lostreg.geometry import Frame

PATCH = 14
RED, BLUE = (200, 40, 30), (30, 60, 190)


def entry_of_block(grid_hw, block, dim=6, seed=0, colour=RED, rgb=True) -> Entry:
    """Return an entry of a picture with one rectangle (x0, y0, x1, y1) of patches: other tokens, another colour."""
    rows, columns = grid_hw
    x0, y0, x1, y1 = block
    mask = np.zeros((rows, columns), dtype=bool)
    mask[y0:y1, x0:x1] = True
    noise = np.random.default_rng(seed).normal(size=(rows, columns, dim)) * 0.1
    tokens = noise + np.where(mask[..., None], 1.0, -1.0) * np.arange(1, dim + 1)
    pixels = np.full((rows * PATCH, columns * PATCH, 3), 120, dtype=np.uint8)
    pixels[y0 * PATCH : y1 * PATCH, x0 * PATCH : x1 * PATCH] = colour
    return Entry(
        torch.nn.functional.normalize(torch.from_numpy(tokens), dim=-1).half(),
        torch.from_numpy(mask),
        torch.tensor([block], dtype=torch.float32),
        torch.tensor([columns * PATCH, rows * PATCH, PATCH], dtype=torch.int32),
        torch.from_numpy(pixels if rgb else pixels[:0, :0]),
    )


def picture_of(mask, boxes=()) -> Picture:
    """Return a picture that fills its grid, with diffusion mask and candidate boxes."""
    rows, columns = np.shape(mask)
    wh = (columns * PATCH, rows * PATCH)
    return Picture(
        "key",
        Frame(wh, wh, (rows, columns), PATCH),
        torch.as_tensor(np.asarray(mask, dtype=bool)),
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
    )


def cache_of(entries, root) -> tuple[FeatureCache, list[Picture]]:
    """Return a cache with entries under the keys 0, 1, ..., and their pictures."""
    cache = FeatureCache({}, root=root)
    for index, entry in enumerate(entries):
        cache.save(str(index), entry)
    return cache, [entry.picture(str(index)) for index, entry in enumerate(entries)]
