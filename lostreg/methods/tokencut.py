"""TokenCut: the object is the side of a normalised cut that stands out.

Wang et al., CVPR 2022, arXiv 2202.11539, sec. 3.2, as in the released procedure:

1. Graph: ``W_ij = 1`` where the cosine of the features of patches i and j exceeds tau = 0.2, else 1e-5.
2. Cut: ``y``, the second smallest solution of ``(D - W) y = lambda D y``; see :mod:`lostreg.methods.ncut`.
3. Bipartition at the mean of ``y``. The seed is the patch of largest ``|y|``; its side is the foreground.
4. The object is the 4-connected component of the foreground that holds the seed.

The paper reads keys; here ``feature`` says which, and a model's preset may differ. ``offset``, ``k_patches`` and
``attention_head`` have no effect. Where all patches are similar, or none are, every cut costs the same and there is
no object (the released procedure returns whatever the eigensolver leaves).
"""

from __future__ import annotations

import torch

from lostreg.features import Features
from lostreg.methods.base import Method, Proposal, free_rows, nth_free, on_grid
from lostreg.methods.ncut import second_eigenvector, seed_of
from lostreg.regions import Mask, component_of
from lostreg.settings import MethodSettings

PUBLISHED_TAU = 0.2


def propose(features: Features, settings: MethodSettings, free: Mask, *, tau: float = PUBLISHED_TAU) -> Proposal | None:
    """Find one object among the free patches; ``None`` if every cut of them costs the same."""
    y = second_eigenvector(free_rows(features.projection(settings.feature), free), tau)
    if y is None:
        return None
    scores = on_grid(torch.from_numpy(y - y.mean()), free)
    seed = nth_free(free, seed_of(y))
    return Proposal(
        region=component_of(scores > 0, *seed),
        scores=scores,
        seed_rc=seed,
        maps={"eigenvector": scores},
    )


METHOD = Method(
    name="tokencut",
    summary="normalised cut, the side that stands out (CVPR 2022)",
    propose=propose,
    needs=lambda settings: frozenset({settings.feature}),
    reads=frozenset({"feature"}),
)
