"""Fitting the box scorer: principal components of the tokens, then a net on boxes whose IoU is known.

A step shows the net a few boxes of each of some pictures; its loss is the binary cross-entropy towards their IoU,
weighted by picture. Half of the pictures are mirrored: their samples are, which is the same. Optimiser and schedule
are those of the vote net. On a CPU, equal seeds and equal thread counts give equal weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from lostreg.fit.box_targets import BoxTarget
from lostreg.fit.train import ReadTokens, one_cycle, sample_tokens, token_statistics, weighted_mean
from lostreg.heads.scorer import AXES, BoxScorer, box_sizes, sample

EPOCHS = 3
BATCH = 24
BOXES = 10
"""Of each picture in a step, drawn anew each time."""


def train_scorer(
    targets: Sequence[BoxTarget],
    read_tokens: ReadTokens,
    *,
    dim: int,
    seed: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda pictures: None,
) -> tuple[BoxScorer, list[float]]:
    """Train a box scorer.

    Args:
        targets: what shall be said of the boxes of each picture; without any, the scorer says the same of every box.
        read_tokens: returns a picture's tokens ``(h, w, dim)`` by its key.
        dim: of the tokens.
        seed: of the weights, the order, the boxes shown and the mirroring.
        device: where the net is trained.
        advance: called with the number of pictures after each step.

    Returns:
        The net and the mean loss of each epoch.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    net = BoxScorer(dim)
    if not targets:
        return net.eval(), []
    mean, axes = principal_axes(sample_tokens([target.key for target in targets], read_tokens), AXES)
    net.mean.copy_(mean)
    net.axes.copy_(axes)
    net.to(device)
    optimiser, schedule = one_cycle(net, EPOCHS * -(-len(targets) // BATCH))
    history = []
    for _ in range(EPOCHS):
        losses = []
        order = generator.permutation(len(targets)).tolist()
        for start in range(0, len(order), BATCH):
            shown = [targets[i] for i in order[start : start + BATCH]]
            loss = batch_loss(net, shown, read_tokens, generator)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
            advance(len(shown))
        history.append(float(np.mean(losses)))
    return net.eval(), history


def principal_axes(tokens: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return m ``(D,)`` and ``diag(1 / s) U E^(-1/2)`` ``(D, count)`` of :mod:`lostreg.heads.scorer`.

    Args:
        tokens: ``(n, D)``.
        count: of axes; those beyond D are zero.
    """
    mean, std = token_statistics(tokens)
    values, vectors = torch.linalg.eigh(torch.cov(((tokens - mean) / std).T).double())
    leading = vectors[:, -count:].flip(1) / values[-count:].flip(0).clamp(min=1e-6).sqrt()
    axes = leading / std[:, None]
    return mean, F.pad(axes, (0, count - axes.shape[1])).float()


def batch_loss(
    net: BoxScorer, targets: Sequence[BoxTarget], read_tokens: ReadTokens, generator: np.random.Generator
) -> torch.Tensor:
    """Return the loss ``()`` of some boxes of each picture."""
    device = net.mean.device
    samples, sizes, overlaps, weights = [], [], [], []
    for target in targets:
        drawn = torch.from_numpy(generator.permutation(len(target.boxes))[:BOXES])
        boxes = target.boxes[drawn].to(device)
        channels = net.channels(read_tokens(target.key).to(device).float(), target.logit.to(device))
        read = sample(channels, boxes)
        samples.append(read.flip(3) if generator.random() < 0.5 else read)
        sizes.append(box_sizes(boxes, *target.logit.shape))
        overlaps.append(target.overlaps[drawn].to(device))
        weights.append(torch.full_like(overlaps[-1], target.weight))
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type in {"cpu", "cuda"}):
        logits = net(torch.cat(samples), torch.cat(sizes))
    losses = F.binary_cross_entropy_with_logits(logits, torch.cat(overlaps), reduction="none")
    return weighted_mean(losses, torch.cat(weights))
