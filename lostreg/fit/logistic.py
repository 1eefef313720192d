"""The logistic head: diffusion's masks as first labels, then its own answers, six rounds.

Self-training of a linear classifier on frozen tokens, as FOUND (arXiv 2212.07834) trains its segmenter on coarse
masks. On a sample of the patches of all pictures, tokens divided by their norm and standardised:

1. labels ``y_j = [s_j > 0]`` from the diffusion scores s, on every patch: keeping only the biggest component of a
   picture drifts towards smaller and smaller objects;
2. ``min_w mean_j BCE(w . x_j + b, y_j) + 1e-3 |w|^2`` by L-BFGS;
3. ``y_j = [w . x_j + b > 0]``, and again from 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from lostreg.fit.cache import FeatureCache, Picture
from lostreg.heads.nets import LogisticNet

ROUNDS = 6
MAX_PATCHES = 300_000
"""A sample that 385 parameters cannot tell from all patches; 460 MB."""

_L2 = 1e-3
_STEPS = 20


@dataclass(frozen=True)
class Round:
    """One round: its loss, the share of labels that it changed, and the share of object patches after it."""

    loss: float
    changed: float
    foreground: float


def sample_patches(
    pictures: Sequence[Picture], cache: FeatureCache, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens ``(n, D)`` ``float32`` and labels ``(n,)`` of an even share of every picture's patches."""
    step = math.ceil(sum(picture.mask.numel() for picture in pictures) / MAX_PATCHES)
    rows = [slice(index % step, None, step) for index in range(len(pictures))]
    tokens = [cache.tokens(each.key).flatten(0, 1)[row] for each, row in zip(pictures, rows, strict=True)]
    labels = [each.mask.flatten()[row] for each, row in zip(pictures, rows, strict=True)]
    return torch.cat(tokens).to(device).float(), torch.cat(labels).to(device).float()


def fit_logistic(
    tokens: torch.Tensor, labels: torch.Tensor, done: Callable[[Round], None] = lambda each: None
) -> tuple[LogisticNet, list[Round]]:
    """Fit and relabel.

    Args:
        tokens: ``(n, D)``; standardised in place.
        labels: ``(n,)``, 0 or 1.
        done: called after each round.

    Returns:
        The head for tokens that are not standardised, and what each round did.
    """
    mean, std = tokens.mean(dim=0), tokens.std(dim=0).clamp(min=1e-6)
    tokens.sub_(mean).div_(std)
    weight = torch.zeros(tokens.shape[1], device=tokens.device, requires_grad=True)
    bias = torch.zeros((), device=tokens.device, requires_grad=True)
    rounds = []
    for _ in range(ROUNDS):
        loss = _minimise(tokens, labels, weight, bias)
        with torch.no_grad():
            relabelled = (tokens @ weight + bias > 0).float()
        changed = float((relabelled != labels).float().mean())
        labels = relabelled
        rounds.append(Round(loss, changed, float(labels.mean())))
        done(rounds[-1])
    net = LogisticNet(tokens.shape[1])
    with torch.no_grad():
        net.weight.copy_(weight / std)
        net.bias.copy_(bias - (mean / std * weight).sum())
    return net.eval(), rounds


def _minimise(tokens: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> float:
    """Minimise the loss over weight and bias in place; return it."""
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = binary_cross_entropy_with_logits(tokens @ weight + bias, labels) + _L2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return float(closure().detach())
