"""Diffusion: the CLS token's attention, spread over the patches along the similarity of their values.

Manifold ranking (Zhou et al., "Ranking on Data Manifolds", NIPS 2003) with the CLS attention as the query, in the
random walk's normalisation. With the values ``v_j`` as they are and ``a_j``, what the CLS token gives to patch j, the
mean over heads:

1. Weights: ``W_ij = max(cos(v_i, v_j), 0)^p`` with p = 2, ``D = diag(sum_j W_ij)``; a patch of zeros is similar to
   itself alone.
2. Source: ``u_j = a_j / mean_i a_i - 1``.
3. Scores: ``(D - alpha W) s = D u`` with alpha = 0.9, the limit of ``s <- alpha D^-1 W s + u``.
4. The object is the 4-connected component of ``s > 0`` with the largest sum of scores.

The constants were measured on VOC2007's dev500. W is held as an N x N matrix of ``float32``: 4 MB for 1,000 patches,
64 MB for 4,000. Beyond 8,192 patches, where it and what solving it takes come to 0.8 GB, the method refuses.

It reads values and attention: ``feature``, ``offset``, ``k_patches`` and ``attention_head`` have no effect. Where
nothing attends to the free patches or all receive the same, there is no object; where all values are equal, the
scores are the source.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from lostreg.errors import FeatureError
from lostreg.features import Features
from lostreg.methods.attention_seed import ROUNDING, free_class_attention
from lostreg.methods.base import Method, Proposal, free_rows, on_grid
from lostreg.regions import Mask, heaviest_component
from lostreg.settings import MethodSettings

POWER = 2
"""p: how much a strong similarity counts above a weak one."""

ALPHA = 0.9
"""The share that every step of the walk hands on to the neighbours."""

MOST_PATCHES = 8192
"""Patches up to which W is held."""


def diffuse(values: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Solve ``(D - alpha W) s = D u`` for ``s`` ``(n,)``.

    Args:
        values: ``(n, D)``, n at least 1.
        source: ``u``, ``(n,)``.
    """
    unit = normalize(values, dim=1)
    weights = (unit @ unit.T).clamp_(min=0).pow_(POWER).fill_diagonal_(1)
    degrees = weights.sum(dim=1)
    # strictly diagonally dominant, so positive definite
    factor = torch.linalg.cholesky(torch.diag(degrees) - ALPHA * weights)
    return torch.cholesky_solve((degrees * source)[:, None], factor)[:, 0]


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Find one object among the free patches; ``None`` if nothing attends to them or all receive the same.

    Raises:
        FeatureError: there are more than :data:`MOST_PATCHES`.
    """
    if not free.any():
        return None
    values = free_rows(features.projection("v"), free)
    if len(values) > MOST_PATCHES:
        raise FeatureError(
            f"diffusion holds an N x N matrix, for at most {MOST_PATCHES} patches, but there are {len(values)}; "
            "use --method attention-seed or a smaller --max-side."
        )
    attention = free_class_attention(features, free).mean(dim=0)
    if float(attention.max()) <= 0:
        return None
    source = attention / attention.mean() - 1
    if float(source.max()) <= ROUNDING:
        return None
    scores = on_grid(diffuse(values, source), free)
    return Proposal(
        region=heaviest_component(scores),
        scores=scores,
        maps={"attention": on_grid(attention, free), "score": scores},
    )


METHOD = Method(
    name="diffusion",
    summary="CLS attention spread along the similarity of the values",
    propose=propose,
    needs=lambda settings: frozenset({"v", "attention"}),
)
