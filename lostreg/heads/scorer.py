"""The second look at a box: how well does it fit an object, by what lies inside, across and around its edges.

As in two-stage detectors, a small net reads features on a grid of points over each box (RoIAlign of Mask R-CNN,
arXiv 1703.06870, sec. 3) and says which IoU with an object it expects (IoU-Net, arXiv 1807.11590, sec. 3.1). Here
the features are the frozen tokens of the ViT, and the box is enlarged by half, so that the net sees what it leaves out.

With ``x`` a patch's token divided by its norm, the channels of the patch are

    f = E^(-1/2) U^T ((x - m) / s),

where m and s are mean and standard deviation of the tokens of the fitting pictures, and U and E the leading
eigenvectors and eigenvalues of the covariance of ``(x - m) / s``: principal components, whitened. Two more channels are
the patch's foreground logit and 1, which tells the picture from what is beyond its border.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

AXES = 64
"""Principal components; 89 % of the variance of the tokens of DINOv2 ViT-S/14."""

WIDTH = 48
POINTS = 9
"""Of each side of the enlarged box; two 3 x 3 convolutions, the second of stride 2, leave 3."""

ENLARGED = 1.5

_LEFT = 3
_GROUPS = 8
_HIDDEN = 96
_DROPPED = 0.2
_LOGIT_CLIP = 6.0
_SMALLEST = 0.5


class BoxScorer(nn.Module):
    """The IoU with an object that is expected of any box of a picture.

    Attributes:
        mean: ``(D,)``, m above.
        axes: ``(D, axes)``, ``diag(1 / s) U E^(-1/2)``.
    """

    mean: torch.Tensor
    axes: torch.Tensor

    def __init__(self, dim: int, axes: int = AXES, width: int = WIDTH) -> None:
        """Start with random weights and an output of zeros, so that an unfitted scorer says the same of every box."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("axes", torch.zeros(dim, axes))
        self.embed = nn.Conv2d(axes + 2, width, 1)
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, stride=stride) for stride in (1, 2))
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for _ in self.convolutions)
        self.hidden = nn.Linear(_LEFT * _LEFT * width + 3, _HIDDEN)
        self.dropout = nn.Dropout(_DROPPED)
        self.out = nn.Linear(_HIDDEN, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def channels(self, tokens: torch.Tensor, logit: torch.Tensor) -> torch.Tensor:
        """Return what is read of a picture, ``(axes + 2, h, w)``.

        Args:
            tokens: ``(h, w, D)`` ``float32``, divided by their norm.
            logit: ``(h, w)``, positive on objects.
        """
        projected = (tokens - self.mean) @ self.axes
        scaled = logit.clamp(-_LOGIT_CLIP, _LOGIT_CLIP) / (_LOGIT_CLIP / 2)
        return torch.cat([projected, torch.stack([scaled, torch.ones_like(scaled)], dim=-1)], dim=-1).permute(2, 0, 1)

    def forward(self, samples: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return a logit ``(n,)`` per box.

        Args:
            samples: ``(n, axes + 2, POINTS, POINTS)`` of :func:`sample`.
            sizes: ``(n, 3)`` of :func:`box_sizes`.
        """
        z = F.gelu(self.embed(samples))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            z = F.gelu(norm(convolution(z)))
        z = F.gelu(self.hidden(torch.cat([z.flatten(1), sizes], dim=1)))
        logit: torch.Tensor = self.out(self.dropout(z))[:, 0]
        return logit.float()

    @torch.inference_mode()
    def score(self, channels: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Return the expected IoU ``(n,)`` in [0, 1] of boxes ``(n, 4)`` in patches, the same for a mirrored picture.

        Args:
            channels: of :meth:`channels`.
            boxes: on any device.
        """
        boxes = boxes.to(channels)
        samples, sizes = sample(channels, boxes), box_sizes(boxes, channels.shape[1], channels.shape[2])
        logit: torch.Tensor = (self(samples, sizes) + self(samples.flip(3), sizes)) / 2
        return logit.sigmoid()


def sample(channels: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Read channels ``(C, h, w)`` bilinearly at points over boxes ``(n, 4)``: ``(n, C, POINTS, POINTS)``.

    A box of centre c and side a is read at ``c + a ENLARGED ((k + 1/2) / POINTS - 1/2)``, k = 0, ..., POINTS - 1, in
    either direction. The channels of a patch stand at its centre, and those of patches outside the grid are zero. That
    is RoIAlign with one point a cell, but without its jump where a point leaves the grid: boxes at the border of the
    picture often have a point right there.
    """
    rows, columns = channels.shape[1:]
    steps = ENLARGED * ((torch.arange(POINTS, device=channels.device) + 0.5) / POINTS - 0.5)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    x, y = (centres[:, :, None] + sides[:, :, None] * steps).unbind(dim=1)
    # grid_sample's own coordinates: -1 to 1 over the grid
    x, y = (2 * x / columns - 1)[:, None, :], (2 * y / rows - 1)[:, :, None]
    points = torch.stack([x.expand(-1, POINTS, -1), y.expand(-1, -1, POINTS)], dim=-1)
    return F.grid_sample(channels.expand(len(boxes), -1, -1, -1), points, align_corners=False)


def box_sizes(boxes: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Describe the sizes of boxes ``(n, 4)`` by logarithms ``(n, 3)``: width, height, share of the grid."""
    width, height = (boxes[:, 2:] - boxes[:, :2]).clamp(min=_SMALLEST).log().unbind(dim=1)
    whole = torch.tensor(float(rows * columns)).log().to(boxes)
    return torch.stack([width - 2, height - 2, width + height - whole + 2], dim=1)
