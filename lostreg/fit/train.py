"""Training the vote net on targets: one loop, the same on a CPU and on a GPU.

Per patch, the loss is the binary cross-entropy of the foreground, ``1 - IoU`` of the box where a box is known, and
0.2 times the binary cross-entropy of the quality towards the IoU that the box reaches. Votes for a box of area A
count by ``1 / sqrt(A)``, so that large objects, which have many patches, do not outvote the others. AdamW with a
one-cycle schedule; pictures are mirrored at random. On a CPU, equal seeds and equal thread counts give equal weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lostreg.fit.targets import Target
from lostreg.heads.nets import VoteNet

BATCH = 12
RATE = 2e-3
_DECAY = 1e-2
_WARM_UP = 0.1
_CLIP = 1.0
_QUALITY_WEIGHT = 0.2

ReadTokens = Callable[[str], torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """Pictures side by side, padded right and bottom to the largest grid.

    Attributes:
        tokens: ``(B, h, w, D)`` ``float32``.
        foreground: ``(B, h, w)``.
        boxes: ``(B, h, w, 4)``, each patch's box in patches.
        weights: ``(B, h, w)``, 0 where a patch has no box.
        real: ``(B, h, w)``, 0 on padding.
    """

    tokens: torch.Tensor
    foreground: torch.Tensor
    boxes: torch.Tensor
    weights: torch.Tensor
    real: torch.Tensor


@dataclass(frozen=True)
class Losses:
    """Means over one epoch: foreground, 1 - IoU of the boxes, quality."""

    foreground: float
    box: float
    quality: float


def train(
    targets: Sequence[Target],
    read_tokens: ReadTokens,
    *,
    seed: int,
    epochs: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda pictures: None,
) -> tuple[VoteNet, list[Losses]]:
    """Train a vote net.

    Args:
        targets: what shall be said of each picture.
        read_tokens: returns a picture's tokens ``(h, w, D)`` by its key.
        seed: of the weights, the order and the mirroring.
        epochs: how often every picture is seen.
        device: where the net is trained.
        advance: called with the number of pictures after each step.

    Returns:
        The net and the mean losses of each epoch.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    mean, std = token_statistics(sample_tokens([target.key for target in targets], read_tokens))
    net = VoteNet(len(mean))
    net.mean.copy_(mean)
    net.std.copy_(std)
    net.to(device)
    optimiser, schedule = one_cycle(net, epochs * -(-len(targets) // BATCH))
    history = []
    for _ in range(epochs):
        losses = []
        for indices in batch_order(targets, generator):
            batch = collate([targets[i] for i in indices], read_tokens, generator, device)
            parts = batch_losses(net, batch)
            optimiser.zero_grad()
            (parts[0] + parts[1] + _QUALITY_WEIGHT * parts[2]).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), _CLIP)
            optimiser.step()
            schedule.step()
            losses.append(parts.detach().cpu())
            advance(len(indices))
        history.append(Losses(*torch.stack(losses).mean(dim=0).tolist()))
    return net.eval(), history


def one_cycle(net: nn.Module, steps: int) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """Return the optimiser of a net and its schedule over so many steps."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=_DECAY)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1, pct_start=_WARM_UP)


def sample_tokens(keys: Sequence[str], read_tokens: ReadTokens) -> torch.Tensor:
    """Return the tokens ``(n, D)`` ``float32`` of every 11th patch of every 3rd picture."""
    return torch.cat([read_tokens(key).flatten(0, 1)[::11].float() for key in keys[::3]])


def token_statistics(sample: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation ``(D,)`` of tokens ``(n, D)``."""
    return sample.mean(dim=0), sample.std(dim=0).clamp(min=1e-6)


def batch_order(targets: Sequence[Target], generator: np.random.Generator) -> list[list[int]]:
    """Return batches of pictures of nearly the same grid, in random order."""
    order = sorted(generator.permutation(len(targets)).tolist(), key=lambda i: tuple(targets[i].foreground.shape))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    return [batches[int(i)] for i in generator.permutation(len(batches))]


def collate(
    targets: Sequence[Target], read_tokens: ReadTokens, generator: np.random.Generator, device: torch.device
) -> Batch:
    """Return a batch, each picture mirrored with probability one half."""
    pictures = []
    for target in targets:
        tokens = read_tokens(target.key).float()
        boxes, weights = patch_boxes(target)
        picture = (tokens, target.foreground, boxes, weights)
        pictures.append(mirrored(*picture) if generator.random() < 0.5 else picture)
    height = max(tokens.shape[0] for tokens, *_ in pictures)
    width = max(tokens.shape[1] for tokens, *_ in pictures)

    def stacked(parts: Sequence[torch.Tensor]) -> torch.Tensor:
        padded = torch.zeros(len(parts), height, width, *parts[0].shape[2:])
        for row, part in zip(padded, parts, strict=True):
            row[: part.shape[0], : part.shape[1]] = part
        return padded.to(device, non_blocking=True)

    tokens, foreground, boxes, weights = (stacked(parts) for parts in zip(*pictures, strict=True))
    return Batch(tokens, foreground, boxes, weights, stacked([torch.ones_like(part) for _, part, *_ in pictures]))


def patch_boxes(target: Target) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each patch's box ``(h, w, 4)`` and its weight ``(h, w)``, zeros where it has none."""
    boxes = torch.cat([torch.zeros(1, 4), target.boxes])
    weights = torch.cat([torch.zeros(1), target.weights])
    return boxes[target.owner], weights[target.owner]


def mirrored(
    tokens: torch.Tensor, foreground: torch.Tensor, boxes: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mirror a picture left to right."""
    x0, y0, x1, y1 = boxes.flip(1).unbind(dim=-1)
    width = boxes.shape[1]
    return tokens.flip(1), foreground.flip(1), torch.stack([width - x1, y0, width - x0, y1], dim=-1), weights.flip(1)


def batch_losses(net: VoteNet, batch: Batch) -> torch.Tensor:
    """Return the losses of the foreground, the boxes and the quality, ``(3,)``."""
    device = batch.tokens.device
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type in {"cpu", "cuda"}):
        logit, guesses, quality = net(batch.tokens)
    weights = batch.weights / box_areas(batch.boxes).clamp(min=1).sqrt()
    overlaps = box_overlaps(guesses, batch.boxes)
    aim = overlaps.detach().clamp(0, 1)
    return torch.stack(
        [
            weighted_mean(F.binary_cross_entropy_with_logits(logit, batch.foreground, reduction="none"), batch.real),
            weighted_mean(1 - overlaps, weights),
            weighted_mean(F.binary_cross_entropy_with_logits(quality, aim, reduction="none"), weights),
        ]
    )


def box_areas(boxes: torch.Tensor) -> torch.Tensor:
    """Return the areas ``(...)`` of boxes ``(..., 4)``."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def box_overlaps(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the IoU ``(...)`` of boxes ``(..., 4)`` in the same places; differentiable."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    return shared / (box_areas(first) + box_areas(second) - shared + 1e-6)


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean ``()`` of values by weights of the same shape; 0 where all weights are."""
    return (values * weights).sum() / (weights.sum() + 1e-6)
