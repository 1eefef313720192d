"""LOST: localising objects with self-supervised transformers and no labels.

Siméoni et al., BMVC 2021, arXiv 2109.14279, sec. 3.2, as in the released procedure (which sums real-valued
similarities in the expansion where the paper's equations read as if they were binary).

1. Degree ``d_i``: how many other patches are similar to patch i, ``A_ij > 0`` (eq. 2).
2. Seed ``p*``: the patch of lowest degree. Ties go to the lower index, that is, reading order.
3. Potential seeds: the ``k_patches`` patches of lowest degree; of these, ``S`` = those similar to the seed
   (eq. 3). The seed is always in S, whatever the offset.
4. Expansion: ``M_j = sum_{i in S} A_ij``; the object is the component of ``M > 0`` that holds the seed.
"""

from __future__ import annotations

import torch

from lostreg.features import Features
from lostreg.graph import SimilarityGraph
from lostreg.methods.base import Method, Proposal, free_rows, nth_free, on_grid
from lostreg.regions import Mask, component_of
from lostreg.settings import MethodSettings

PUBLISHED_K_PATCHES = 100


def potential_seeds(degrees: torch.Tensor, k_patches: int) -> torch.Tensor:
    """Return the indices of the ``k_patches`` lowest degrees ``(N,)``, lowest first, ties by index."""
    return torch.argsort(degrees, stable=True)[:k_patches]


def seed_set(similarity: torch.Tensor, potentials: torch.Tensor) -> torch.Tensor:
    """Return the potential seeds that are similar to the first of them, the seed, which stays in.

    Args:
        similarity: of the seed to all patches, ``(N,)``.
        potentials: indices, the seed first.
    """
    similar = similarity[potentials] > 0
    similar[0] = True
    return potentials[similar]


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Find one object among the free patches; ``None`` only if no patch is free."""
    if not free.any():
        return None
    vectors = free_rows(features.projection(settings.feature), free)
    graph = SimilarityGraph.build(vectors, settings.offset)
    degrees = graph.degrees()
    potentials = potential_seeds(degrees, settings.count_patches(len(vectors)))
    seed = int(potentials[0])
    similarity = graph.row(seed)
    expansion = on_grid(graph.summed_rows(seed_set(similarity, potentials)), free)
    row, column = nth_free(free, seed)
    foreground = (expansion > 0) & free
    foreground[row, column] = True
    return Proposal(
        region=component_of(foreground, row, column),
        scores=expansion,
        seed_rc=(row, column),
        maps={
            "degree": on_grid(degrees, free),
            "seed similarity": on_grid(similarity, free),
            "expansion": expansion,
        },
    )


METHOD = Method(
    name="lost",
    summary="seed of lowest degree, expanded over the similarity graph (BMVC 2021)",
    propose=propose,
    needs=lambda settings: frozenset({settings.feature}),
    reads=frozenset({"feature", "offset", "k_patches"}),
)
