"""Attention-seeded values: the patches whose values agree with what the CLS token looks at.

No published method, but LOST's expansion (arXiv 2109.14279, sec. 3.2) with another seed: where LOST sums the
similarities to patches of low degree, this sums those to the patches that the CLS token attends to, each by its
weight. With the values ``V`` ``(N, D)`` as they are (heads joined) and ``a_hj``, what head h of the CLS token gives
to patch j (softmax over all tokens, the patches kept):

1. Weights: ``a_j = mean_h a_hj``, then ``w_j = a_j^2 / sum_i a_i^2``.
2. Scores: ``s = V (V^T w - mean_j v_j)``. The weights ``w_j - 1/N`` sum to 0, so a constant added to every
   similarity cancels: there is no seed patch, no k, no offset and no threshold on similarities.
3. The object is the 4-connected component of ``s > 0`` with the largest sum of scores.

It reads values and attention: ``feature``, ``offset``, ``k_patches`` and ``attention_head`` have no effect.
Where nothing attends to the free patches or no score rises above rounding, as with one patch, equal features or
even attention, there is no object.
"""

from __future__ import annotations

import torch

from lostreg.features import Features
from lostreg.methods.base import Method, Proposal, free_rows, on_grid
from lostreg.regions import Mask, heaviest_component
from lostreg.settings import MethodSettings

ROUNDING = 1e-5
"""Scores below this share of the largest ``|v_j|^2`` are rounding of the products, not evidence."""


def free_class_attention(features: Features, free: Mask) -> torch.Tensor:
    """Return what the CLS token gives to the free patches, ``(heads, n)`` ``float32``.

    Raises:
        FeatureError: attention was not extracted, is not finite, or the model has no CLS token.
    """
    return free_rows(features.class_attention().T, free).T


def seeded_scores(values: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """Return one score per patch for each map of attention, ``(maps, n)``.

    Args:
        values: ``(n, D)``, n at least 1.
        attention: ``(maps, n)``, not negative; every row has something positive.
    """
    # over the largest first: the square of a small attention is no float32
    squares = (attention / attention.amax(dim=1, keepdim=True)).square()
    weights = squares / squares.sum(dim=1, keepdim=True)
    return (weights @ values - values.mean(dim=0)) @ values.T


def stands_out(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return which maps of scores ``(maps, n)`` rise above the rounding of their products, ``(maps,)`` ``bool``."""
    return scores.amax(dim=1) > ROUNDING * values.square().sum(dim=1).max()


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Find one object among the free patches; ``None`` if nothing attends to them or none stands out."""
    if not free.any():
        return None
    values = free_rows(features.projection("v"), free)
    attention = free_class_attention(features, free).mean(dim=0, keepdim=True)
    if float(attention.max()) <= 0:
        return None
    scores = seeded_scores(values, attention)
    if not bool(stands_out(scores, values)):
        return None
    score_map = on_grid(scores[0], free)
    return Proposal(
        region=heaviest_component(score_map),
        scores=score_map,
        maps={"attention": on_grid(attention[0], free), "score": score_map},
    )


METHOD = Method(
    name="attention-seed",
    summary="values that agree with what the CLS token attends to",
    propose=propose,
    needs=lambda settings: frozenset({"v", "attention"}),
)
