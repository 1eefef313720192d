"""MaskCut: normalised cuts one after the other, each of what the earlier ones left.

Wang et al., "Cut and Learn" (CutLER), CVPR 2023, arXiv 2301.11320, sec. 3.2, as in the released procedure. One round:

1. Graph and cut as in TokenCut, with tau = 0.15; see :mod:`lostreg.methods.ncut`.
2. Bipartition at the mean of ``y``. The foreground is the side of the patch of largest ``|y|``, unless it holds at
   least 3 of the picture's 4 corners: then it is the other side. The seed is the patch of the foreground that lies
   farthest from 0.
3. The mask is the 4-connected component of the foreground that holds the seed. From the second round on, a mask of
   at most 1 % of the patches ends the search.

The rounds are those of :mod:`lostreg.objects`: ``objects = 3`` is the published number. Three things differ:

* What was found leaves the graph, where the released procedure zeroes its features and keeps it as patches that are
  similar to nothing. So masks cannot overlap, and its rule for overlaps has nothing to do.
* The sign of ``y`` is settled before the corners are counted; the released procedure counts the corners of whichever
  side the eigensolver made positive.
* No dense CRF and no filling of holes follows, so there is no check against its result, and the picture is not
  squeezed to 480 x 480: the ViT sees what every other method sees.

The paper reads keys; here ``feature`` says which, and a model's preset may differ. ``offset``, ``k_patches`` and
``attention_head`` have no effect. Where all patches are similar, or none are, every cut costs the same and there is
no object.
"""

from __future__ import annotations

import torch

from lostreg.features import Features
from lostreg.methods.base import Method, Proposal, free_rows, nth_free, on_grid
from lostreg.methods.ncut import second_eigenvector, seed_of
from lostreg.regions import Mask, component_of
from lostreg.settings import MethodSettings

PUBLISHED_TAU = 0.15
PUBLISHED_CORNERS = 3
PUBLISHED_MIN_AREA = 0.01


def count_corners(mask: Mask) -> int:
    """Count the corners of the grid that a mask ``(h, w)`` holds, 0 to 4."""
    return sum(int(mask[row, column]) for row in (0, -1) for column in (0, -1))


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Find one object among the free patches; ``None`` if every cut costs the same or a later mask is too small."""
    y = second_eigenvector(free_rows(features.projection(settings.feature), free), PUBLISHED_TAU)
    if y is None:
        return None
    scores = on_grid(torch.from_numpy(y - y.mean()), free)
    foreground, seed = scores > 0, seed_of(y)
    if count_corners(foreground) >= PUBLISHED_CORNERS:
        scores, foreground, seed = -scores, free & ~foreground, seed_of(y.clip(max=0))
    seed_rc = nth_free(free, seed)
    region = component_of(foreground, *seed_rc)
    if not free.all() and region.mean() <= PUBLISHED_MIN_AREA:
        return None
    return Proposal(region=region, scores=scores, seed_rc=seed_rc, maps={"eigenvector": scores})


METHOD = Method(
    name="maskcut",
    summary="normalised cuts in rounds, without CRF (CVPR 2023)",
    propose=propose,
    needs=lambda settings: frozenset({settings.feature}),
    reads=frozenset({"feature"}),
)
