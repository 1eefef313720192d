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


def resize_like_dino(pos_embed: torch.Tensor, grid_hw: tuple[int, int]) -> torch.Tensor:
    """Resize ``(1, 1 + S * S, D)``, CLS first, to ``(1, 1 + h * w, D)``."""
    rows, columns = grid_hw
    side = math.isqrt(pos_embed.shape[1] - 1)
    if (rows, columns) == (side, side):
        return pos_embed
    patches = pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(patches, scale_factor=((rows + 0.1) / side, (columns + 0.1) / side), mode="bicubic")
    return torch.cat([pos_embed[:, :1], resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def use_dino_pos_embed(model: Any) -> None:
    """Make one timm ViT with a CLS token and no registers resize its position embeddings like DINO."""

    def _pos_embed(self: Any, x: torch.Tensor) -> torch.Tensor:
        batch, rows, columns, _ = x.shape
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1), x.flatten(1, 2)], dim=1)
        return tokens + resize_like_dino(self.pos_embed, (rows, columns))

    model._pos_embed = MethodType(_pos_embed, model)
