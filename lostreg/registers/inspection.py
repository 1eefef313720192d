"""What a ViT's tokens show of artifacts: one forward per picture, and figures over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lostreg.backbone import Backbone
from lostreg.engines.torch_engine import autocast
from lostreg.geometry import Frame
from lostreg.registers.outliers import (
    Norms,
    Threshold,
    appearing_block,
    border,
    outlier_threshold,
    published_thresholds,
)
from lostreg.registers.tokens import neighbour_cosine
from lostreg.registers.watch import watch_blocks
from lostreg.tap import Tap

REFERENCE_LAYER = -2
"""Outliers are judged behind the second to last block: the last one shortens them (arXiv 2506.08010, App. A.12)."""


@dataclass(frozen=True, eq=False)
class InspectedPicture:
    """What one forward shows of one picture; ``N = h * w`` patches, row-major.

    Attributes:
        frame: how the grid lies on the picture.
        norms: ``(depth, N)`` ``float32``: of the patch tokens behind every block, before the final LayerNorm.
        extra_norms: ``(depth, P)``: of the tokens that are no patches, CLS first where there is one.
        neighbour_cosine: ``(N,)``: of the patch embeddings; see :func:`~lostreg.registers.tokens.neighbour_cosine`.
        attention: ``(P, N)``: what those tokens attend to in the last block, mean over heads.
    """

    frame: Frame
    norms: Norms
    extra_norms: Norms
    neighbour_cosine: NDArray[np.float32]
    attention: NDArray[np.float32]


@torch.inference_mode()
def inspect_pictures(backbone: Backbone, inputs: torch.Tensor, frames: Sequence[Frame]) -> list[InspectedPicture]:
    """Look at prepared inputs of one size, ``(B, 3, H, W)``."""
    behind: list[torch.Tensor] = []
    view = watch_blocks(backbone.model, lambda _, tokens: behind.append(tokens.float().norm(dim=-1)))
    last = Tap(
        backbone.model.blocks[-1],
        nn.Identity(),
        frozenset({"x", "attention"}),
        backbone.prefix_tokens,
        backbone.suffix_tokens,
    )
    view.blocks = nn.Sequential(*view.blocks[:-1], last)
    view.norm = nn.Identity()
    inputs = inputs.to(backbone.device)
    with autocast(backbone.device, backbone.precision):
        outputs = view.forward_features(inputs)
        embedded = backbone.model.patch_embed(inputs)
    norms = torch.stack([*behind, outputs["x"].float().norm(dim=-1)], dim=1).cpu().numpy()
    attention = outputs["attention"].float().mean(dim=2).cpu().numpy()
    rows, columns = frames[0].grid_hw
    first, end = backbone.prefix_tokens, backbone.prefix_tokens + rows * columns
    return [
        InspectedPicture(
            frame,
            norms[index, :, first:end],
            np.concatenate([norms[index, :, :first], norms[index, :, end:]], axis=1),
            neighbour_cosine(embedded[index].reshape(rows, columns, -1)).flatten().cpu().numpy(),
            attention[index, :, first:end],
        )
        for index, frame in enumerate(frames)
    ]


@dataclass(frozen=True)
class Share:
    """How many patches exceed a published threshold."""

    threshold: Threshold
    share: float


@dataclass(frozen=True)
class BlockNorms:
    """Norms of the patch tokens behind one block, over all pictures, and the mean norm of the other tokens."""

    median: float
    percentile_98: float
    highest: float
    extra: list[float]


@dataclass(frozen=True)
class Summary:
    """What many pictures show together.

    Attributes:
        pictures: how many were looked at, and how many of them have outliers.
        reference_layer: the block behind which outliers are judged, from 0.
        threshold: above which a patch counts as an outlier.
        outlier_share: of all patches.
        appears: the block behind which outliers first stand out; ``None`` without outliers.
        border_share: of the outliers, and of all patches: how many lie at the border of the grid.
        neighbour_cosine: mean of the outliers, and of the other patches.
        published: what the rules of the literature say.
        blocks: the norms behind every block.
    """

    pictures: int
    pictures_with_outliers: int
    reference_layer: int
    threshold: Threshold
    outlier_share: float
    appears: int | None
    border_share: tuple[float | None, float]
    neighbour_cosine: tuple[float | None, float]
    published: list[Share]
    blocks: list[BlockNorms]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def summarise(
    pictures: Sequence[InspectedPicture], reference_layer: int = REFERENCE_LAYER, absolute: float | None = None
) -> Summary:
    """Put pictures of one model together.

    Args:
        pictures: at least one.
        reference_layer: the block behind which outliers are judged, from 0, or from the end if negative.
        absolute: a threshold chosen by hand instead of the rule of :mod:`~lostreg.registers.outliers`.
    """
    layer = reference_layer % len(pictures[0].norms)
    reference = np.concatenate([each.norms[layer] for each in pictures])
    threshold = outlier_threshold(reference, absolute)
    masks = outliers_of(pictures, layer, threshold)
    chosen = np.concatenate(masks)
    edges = np.concatenate([border(each.frame.grid_hw) for each in pictures])
    cosine = np.concatenate([each.neighbour_cosine for each in pictures])
    return Summary(
        pictures=len(pictures),
        pictures_with_outliers=sum(bool(mask.any()) for mask in masks),
        reference_layer=layer,
        threshold=threshold,
        outlier_share=float(chosen.mean()),
        appears=appearing_block([each.norms for each in pictures], masks),
        border_share=(_mean(edges[chosen]), float(edges.mean())),
        neighbour_cosine=(_mean(cosine[chosen]), float(cosine[~chosen].mean())),
        published=[Share(each, float((reference > each.value).mean())) for each in published_thresholds(reference)],
        blocks=[_block_norms(pictures, block) for block in range(len(pictures[0].norms))],
    )


def outliers_of(pictures: Sequence[InspectedPicture], layer: int, threshold: Threshold) -> list[NDArray[np.bool_]]:
    """Return which patches of each picture are outliers, ``(N,)``."""
    return [each.norms[layer] > threshold.value for each in pictures]


def _block_norms(pictures: Sequence[InspectedPicture], block: int) -> BlockNorms:
    norms = np.concatenate([each.norms[block] for each in pictures])
    extra = np.stack([each.extra_norms[block] for each in pictures]).mean(axis=0)
    return BlockNorms(
        float(np.median(norms)),
        float(np.percentile(norms, 98)),
        float(norms.max()),
        [float(each) for each in extra],
    )


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
