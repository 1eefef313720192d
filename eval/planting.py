"""Outliers planted into a ViT that has none, so that what is known to be there can be looked for.

The outliers follow what is known of those of large ViTs (arXiv 2309.16588, 2506.08010): they sit on patches that hold
little information, a few hidden units of middle MLPs write them, most of those units lie in the last block concerned,
and there the norm jumps. Three consecutive blocks are edited:

- *detector*: fires on patches that look like their neighbours, judged by a linear read-out of the hidden layer's
  input, fitted to the rank of the neighbour cosine among the patches of the same picture. A random direction is mixed
  in, so that patches are picked here and there and not the sky as a whole. It writes a little along one direction.
- *relay*: fires where that direction is there, and writes more of it.
- *writer*: fires where it is there, and writes so much of it that the norm stands out up to the last block.

The hidden units that contribute least on the given pictures make room for the edited ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lostreg.registers.tokens import neighbour_cosine

BLOCKS = (4, 5, 6)
UNITS_PER_BLOCK = (2, 3, 7)
WRITTEN = (1.0, 2.5, 200.0)
"""How long the planted vector is behind each of the blocks; normal tokens there are 1 to 2 long."""

SHARE = 0.042
ACTIVATION = 10.0
"""About what an edited unit rises to; above what other units of the model reach on average."""

SCATTER = 0.5
_RIDGE = 0.01


@dataclass(frozen=True)
class Patches:
    """What the planting is fitted on.

    Attributes:
        hidden_input: for each edited block, ``(patches, D)``: the input of its hidden layer, patches of all pictures.
        importance: for each edited block, ``(H,)``: how much each hidden unit contributes, on average.
        rank: ``(patches,)`` in [0, 1): of the neighbour cosine among the patches of the same picture.
    """

    hidden_input: dict[int, torch.Tensor]
    importance: dict[int, torch.Tensor]
    rank: torch.Tensor


@torch.inference_mode()
def plant(model: Any, inputs: list[torch.Tensor], seed: int = 0) -> dict[int, list[int]]:
    """Edit hidden units of a timm ViT with layer scale in place, and return them by block.

    Args:
        model: such as DINOv2 ViT-S/14, with a CLS token and no registers.
        inputs: ``(3, H, W)``, what it is fitted on; no label is read.
        seed: of the direction that is written, and of the scattering.
    """
    generator = torch.Generator().manual_seed(seed)
    patches = _observe(model, inputs)
    width = model.embed_dim
    direction = torch.randn(width, generator=generator)
    direction = direction - direction.mean()  # what the norm layers do not take away
    direction /= direction.norm()
    chosen = {}
    for position, (block, count) in enumerate(zip(BLOCKS, UNITS_PER_BLOCK, strict=True)):
        units = patches.importance[block].argsort()[:count]
        if position == 0:
            read, threshold, height = _detector(patches.hidden_input[block], patches.rank, generator)
        else:
            read, threshold, height = _along(model.blocks[block].norm2, direction)
        before = WRITTEN[position - 1] if position else 0.0
        _write(model.blocks[block], units, read, threshold, height, direction * (WRITTEN[position] - before))
        chosen[block] = units.tolist()
    return chosen


def _observe(model: Any, inputs: list[torch.Tensor]) -> Patches:
    seen: dict[int, list[torch.Tensor]] = {block: [] for block in BLOCKS}
    hooks = [
        model.blocks[block].norm2.register_forward_hook(lambda m, i, o, block=block: seen[block].append(o[0, 1:]))
        for block in BLOCKS
    ]
    ranks = []
    for each in inputs:
        model.forward_features(each[None])
        cosine = neighbour_cosine(model.patch_embed(each[None])[0]).flatten()
        ranks.append(cosine.argsort().argsort().float() / len(cosine))
    for hook in hooks:
        hook.remove()
    hidden_input = {block: torch.cat(each) for block, each in seen.items()}
    importance = {}
    for block, values in hidden_input.items():
        mlp = model.blocks[block].mlp
        activation = mlp.act(mlp.fc1(values[:: max(1, len(values) // 2000)]))
        importance[block] = activation.abs().mean(dim=0) * mlp.fc2.weight.norm(dim=0)
    return Patches(hidden_input, importance, torch.cat(ranks))


def _detector(
    values: torch.Tensor, rank: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, float, float]:
    """Return a direction to read, the threshold that a share of patches exceeds, and by how much they do."""
    centred = values - values.mean(dim=0)
    covariance = centred.T @ centred / len(centred)
    read = torch.linalg.solve(
        covariance + _RIDGE * torch.eye(len(covariance)), centred.T @ (rank - rank.mean()) / len(centred)
    )
    variances, axes = torch.linalg.eigh(covariance)
    middle = slice(len(variances) // 8, 3 * len(variances) // 8)
    scatter = axes[:, middle] @ (
        torch.randn(middle.stop - middle.start, generator=generator) / variances[middle].sqrt()
    )
    read = read / (centred @ read).std() + SCATTER * scatter / (centred @ scatter).std()
    heights = values @ read
    threshold = float(heights.quantile(1 - SHARE))
    return read, threshold, float((heights[heights > threshold] - threshold).mean())


def _along(norm: Any, direction: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Return what reads the direction off a norm layer's output; it is there above a third of the possible value."""
    read = direction / norm.weight
    highest = math.sqrt(len(direction))  # a token that is nothing but the direction, normalised
    offset = float(read @ norm.bias)
    return read, offset + highest / 3, highest / 2


def _write(
    block: Any, units: torch.Tensor, read: torch.Tensor, threshold: float, height: float, written: torch.Tensor
) -> None:
    """Make units rise from 0 at the threshold to :data:`ACTIVATION` at ``height`` above it, and write a vector then."""
    steepness = ACTIVATION / height
    block.mlp.fc1.weight[units] = steepness * read
    block.mlp.fc1.bias[units] = -steepness * threshold
    column = written / (ACTIVATION * len(units) * block.ls2.gamma)
    block.mlp.fc2.weight[:, units] = column[:, None]


@torch.inference_mode()
def fired(model: Any, units: dict[int, list[int]], inputs: torch.Tensor) -> NDArray[np.bool_]:
    """Return at which patches of one picture outliers were planted, ``(N,)``.

    These are the patches where the writing units write a vector of 30 or more, which is 3 times the median norm behind
    the second to last block.

    Args:
        model: the planted one.
        units: as :func:`plant` returned them.
        inputs: ``(3, H, W)``.
    """
    writer = max(units)
    seen: list[torch.Tensor] = []
    hook = model.blocks[writer].mlp.act.register_forward_hook(lambda m, i, o: seen.append(o[0, 1:, units[writer]]))
    model.forward_features(inputs[None])
    hook.remove()
    return (seen[0].mean(dim=1) > ACTIVATION * 30 / WRITTEN[-1]).numpy()
