"""Position embeddings: resized the way DINO's own code does, and resized once per grid.

timm resizes position embeddings to the input's grid by size, bicubic with antialiasing; so do DINOv2's
register models and the registers paper (arXiv 2309.16588, App. A). DINO v1 instead interpolates by a scale
factor of ``(rows + 0.1) / pretrained rows``, bicubic without antialiasing, which samples slightly elsewhere
and is needed for exact parity with the published LOST.
"""

from __future__ import annotations

import math
from functools import lru_cache
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F

_GRIDS = 16


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


class RememberedPositions:
    """What the position embedding of a frozen ViT adds, resized once for each of the grids that were met last.

    timm resizes at every forward, which a CPU notices. Embedding adds positions to patches and puts the prefix tokens
    before them, so what it makes of zeros is all there is to know.

    Args:
        model: a timm ViT whose positions are added, not rotated into queries and keys.
    """

    def __init__(self, model: Any) -> None:
        """Remember nothing yet."""
        embed, width, device = model._pos_embed, model.embed_dim, next(model.parameters()).device

        @lru_cache(_GRIDS)
        def added(rows: int, columns: int) -> torch.Tensor:
            return torch.as_tensor(embed(torch.zeros(1, rows, columns, width, device=device)))

        self._added = added

    def __call__(self, rows: int, columns: int) -> torch.Tensor:
        """Return the prefix tokens, and what is added to the patches behind them: ``(1, P + rows * columns, D)``."""
        return self._added(rows, columns)
