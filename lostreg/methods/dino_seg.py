"""DINO-seg: the simplest baseline, the biggest blob of the CLS token's attention.

As defined in LOST's comparison (arXiv 2109.14279, sec. 4): of one head of the last layer, the patches that
together hold 60 % of the attention mass; their biggest 4-connected component. The released script never
looks at the last component and lets boxes leave the picture; neither is repeated here.
"""

from __future__ import annotations

import torch

from lostreg.errors import UsageError
from lostreg.features import Features
from lostreg.methods.base import Method, Proposal, free_rows, on_grid
from lostreg.regions import Mask, largest_component
from lostreg.settings import MethodSettings

PUBLISHED_MASS = 0.6


def mass_mask(attention: torch.Tensor, mass: float) -> torch.Tensor:
    """Return which patches ``(N,)`` hold the top ``mass`` of the attention, ``bool``.

    Sorted ascending, a patch is kept once the share of the mass up to and including it exceeds
    ``1 - mass``.
    """
    order = torch.argsort(attention, stable=True)
    cumulative = attention[order].double().cumsum(0)
    kept = torch.zeros_like(attention, dtype=torch.bool)
    kept[order] = cumulative / cumulative[-1] > 1 - mass
    return kept


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Find one object among the free patches; ``None`` if they receive no attention at all."""
    heads = features.class_attention()
    if settings.attention_head >= len(heads):
        raise UsageError(
            f"--attention-head must be below the model's number of heads, {len(heads)}, "
            f"but it is {settings.attention_head}."
        )
    attention = free_rows(heads[settings.attention_head], free)
    if len(attention) == 0 or float(attention.sum()) <= 0:
        return None
    scores = on_grid(attention, free)
    region = largest_component(on_grid(mass_mask(attention, PUBLISHED_MASS), free) > 0)
    return Proposal(region=region, scores=scores, maps={"attention": scores})


METHOD = Method(
    name="dino-seg",
    summary="biggest blob of one head's CLS attention (baseline)",
    propose=propose,
    needs=lambda settings: frozenset({"attention"}),
    reads=frozenset({"attention_head"}),
)
