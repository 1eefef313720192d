"""The published procedure of LOST, step by step, as the yardstick: nothing that lostreg saves is saved here.

One photograph at a time, in eager fp32: the whole ViT, the keys caught by a hook on the last block, the full N x N
similarity, components by scipy. Written from the paper (arXiv 2109.14279, sec. 3) and the description of its release.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from lostreg.backbone import Backbone

_K_PATCHES = 100


@torch.no_grad()
def published_box(backbone: Backbone, path: Path) -> tuple[int, int, int, int]:
    """Return LOST's box on one photograph, in pixels, by the published procedure.

    Args:
        backbone: its ViT is run whole, on its device, in fp32.
        path: the photograph.
    """
    inputs = _inputs(backbone, path)
    keys = _keys_by_hook(backbone, inputs)
    rows, columns = (side // backbone.spec.patch_size for side in inputs.shape[2:])
    similarity = keys @ keys.T
    similarity.fill_diagonal_(0)
    degrees = (similarity > 0).sum(dim=1)
    order = torch.argsort(degrees)
    seed = order[0]
    potentials = order[:_K_PATCHES]
    similar = potentials[similarity[seed, potentials] > 0]
    expansion = similarity[similar].sum(dim=0).cpu().numpy().reshape(rows, columns)
    row, column = divmod(int(seed), columns)
    expansion[row, column] = 1
    labels, _ = ndimage.label(expansion > 0)
    ys, xs = np.nonzero(labels == labels[row, column])
    p = backbone.spec.patch_size
    return int(xs.min()) * p, int(ys.min()) * p, (int(xs.max()) + 1) * p, (int(ys.max()) + 1) * p


def _inputs(backbone: Backbone, path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (backbone.spec.mean, backbone.spec.std))
    normalised = (pixels - mean) / std
    p = backbone.spec.patch_size
    height, width = (-(-side // p) * p for side in normalised.shape[1:])
    padded = torch.zeros(1, 3, height, width)
    padded[0, :, : normalised.shape[1], : normalised.shape[2]] = normalised
    return padded.to(backbone.device)


def _keys_by_hook(backbone: Backbone, inputs: torch.Tensor) -> torch.Tensor:
    """Return the last block's keys ``(N, D)``, heads joined, from a forward of the whole ViT."""
    caught: dict[str, torch.Tensor] = {}
    attention = backbone.model.blocks[-1].attn

    def catch(module: Any, given: Any, output: torch.Tensor) -> None:
        caught["k"] = output

    handle = attention.k_norm.register_forward_hook(catch)
    try:
        backbone.model.forward_features(inputs)
    finally:
        handle.remove()
    return caught["k"].transpose(1, 2).flatten(2)[0, backbone.prefix_tokens :]
