"""The networks that read frozen tokens. Tokens are those of the ViT's output, divided by their norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from lostreg.features import HeadReading
from lostreg.heads.scorer import BoxScorer

WIDTH = 96
DILATIONS = (1, 2, 4, 8, 1)
"""Of the 3 x 3 convolutions; the receptive field is 33 patches wide."""

_GROUPS = 8
_REACH = 6.0
"""Patches that softplus(0) / ln 2 stands for: boxes begin with the size of a small object."""

_WAVES = (0.1, 0.4)
_GRID = 40.0
_PLACES = 4 + 2 * 2 * len(_WAVES)


class LogisticNet(nn.Module):
    """One logit per patch: ``z = w . x + b``."""

    def __init__(self, dim: int) -> None:
        """Start from zeros."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return logits ``(B, h, w)`` of tokens ``(B, h, w, D)``."""
        return tokens @ self.weight + self.bias

    def read(self, tokens: torch.Tensor) -> HeadReading:
        """Read the tokens ``(h, w, D)`` of one photograph."""
        return HeadReading(self(tokens[None])[0].flatten())


class VoteNet(nn.Module):
    """Per patch a foreground logit, a box, and how well that box is expected to fit.

    Standardised tokens and the patch's place -> 1 x 1 -> residual dilated 3 x 3 convolutions -> 1 x 1. The box is
    given by the distances from the patch's centre to its sides, as in FCOS (arXiv 1904.01355, sec. 3.1).
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, dim: int, width: int = WIDTH, dilations: Sequence[int] = DILATIONS) -> None:
        """Start with random convolutions and an output of zeros."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.embed = nn.Conv2d(dim, width, 1)
        self.place = nn.Linear(_PLACES, width)
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in dilations)
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for _ in dilations)
        self.out = nn.Conv2d(width, 6, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Read tokens ``(B, h, w, D)``.

        Returns:
            Logits ``(B, h, w)``, boxes ``(B, h, w, 4)`` in patches, and logits of their quality ``(B, h, w)``.
        """
        x, y = patch_centres(tokens.shape[1], tokens.shape[2], tokens.device)
        z = self.embed(((tokens - self.mean) / self.std).permute(0, 3, 1, 2))
        z = z + self.place(_places(x, y)).permute(2, 0, 1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            z = z + F.gelu(norm(convolution(z)))
        out = self.out(z).float()
        left, top, right, bottom = (_REACH * F.softplus(out[:, 1:5])).unbind(dim=1)
        boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)
        return out[:, 0], boxes, out[:, 5]

    def read(self, tokens: torch.Tensor) -> HeadReading:
        """Read the tokens ``(h, w, D)`` of one photograph."""
        logit, boxes, quality = self(tokens[None])
        return HeadReading(logit[0].flatten(), boxes[0].flatten(0, 1), quality[0].sigmoid().flatten())


class TwoStageNet(nn.Module):
    """A vote net, and the scorer of the boxes that its votes choose among."""

    def __init__(self, votes: VoteNet, scorer: BoxScorer) -> None:
        """Join the two."""
        super().__init__()
        self.votes = votes
        self.scorer = scorer

    def read(self, tokens: torch.Tensor) -> HeadReading:
        """Read the tokens ``(h, w, D)`` of one photograph."""
        reading = self.votes.read(tokens)
        channels = self.scorer.channels(tokens, reading.logit.reshape(tokens.shape[:2]))
        return replace(reading, score=partial(self.scorer.score, channels))


def patch_centres(rows: int, columns: int, device: torch.device | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and y of the centres of the patches of a grid, each ``(h, w)``, in patches."""
    y, x = torch.meshgrid(
        torch.arange(rows, device=device) + 0.5, torch.arange(columns, device=device) + 0.5, indexing="ij"
    )
    return x, y


def _places(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Describe where each patch lies, and how large the grid is, by 12 numbers: ``(h, w, 12)``."""
    rows, columns = x.shape
    sizes = [torch.full_like(x, side / _GRID - 0.7) for side in (columns, rows)]
    waves = [wave(axis * rate) for axis in (x, y) for rate in _WAVES for wave in (torch.sin, torch.cos)]
    return torch.stack([x / columns - 0.5, y / rows - 0.5, *sizes, *waves], dim=-1)
