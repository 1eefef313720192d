"""Position embeddings resized the way DINO's own code does, for exact parity with the published LOST.

timm resizes position embeddings to the input's grid by size, bicubic with antialiasing; so do DINOv2's
register models and the registers paper (arXiv 2309.16588, App. A). DINO v1 instead interpolates by a scale
factor of ``(rows + 0.1) / pretrained rows``, bicubic without antialiasing, which samples slightly elsewhere.
"""

from __future__ import annotations

import math
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F


def resize_like_dino(patch_positions: torch.Tensor, grid_hw: tuple[int, int]) -> torch.Tensor:
    """Resize ``(1, S * S, D)`` to ``(1, h * w, D)``."""
    rows, columns = grid_hw
    side = math.isqrt(patch_positions.shape[1])
    if (rows, columns) == (side, side):
        return patch_positions
    patches = patch_positions.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(patches, scale_factor=((rows + 0.1) / side, (columns + 0.1) / side), mode="bicubic")
    return resized.permute(0, 2, 3, 1).flatten(1, 2)


def use_dino_pos_embed(model: Any) -> None:
    """Make one timm ViT with a CLS token resize its position embeddings like DINO."""

    def _pos_embed(self: Any, x: torch.Tensor) -> torch.Tensor:
        batch, rows, columns, _ = x.shape
        positioned = int(not self.no_embed_class)  # leading rows of pos_embed that are of no patch: CLS, or none
        prefix = self.cls_token + self.pos_embed[:, :positioned] if positioned else self.cls_token
        prefix = prefix if self.reg_token is None else torch.cat([prefix, self.reg_token], dim=1)
        patches = x.flatten(1, 2) + resize_like_dino(self.pos_embed[:, positioned:], (rows, columns))
        return torch.cat([prefix.expand(batch, -1, -1), patches], dim=1)

    model._pos_embed = MethodType(_pos_embed, model)
