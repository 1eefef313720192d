"""Head consensus: every head of the CLS token proposes boxes, and the box that most of them agree with wins.

Built on :mod:`lostreg.methods.attention_seed`, one map per head instead of one for their mean. With the values
``V`` ``(N, D)`` as they are and ``a_h`` ``(N,)``, what head h of the CLS token gives to the patches:

1. Maps: ``w_h = a_h^2 / sum_j a_hj^2``, ``s_h = V (V^T w_h - mean_j v_j)``, divided by its maximum.
2. Candidates: for each head and each level t of 0, 0.1, 0.2 and 0.3, the 4-connected component of ``s_h > t`` with
   the largest sum of ``s_h - t``, and its box ``B``, clipped where the photograph ends.
3. Vote: the winner is ``argmax_j sum_i max(IoU(B_i, B_j) - 0.5, 0)``, the first of equals (choosing the candidate of
   most expected overlap is minimum Bayes risk decoding).
4. Box: the mean of all candidates with ``IoU(B_i, B_winner) >= 0.7``. The region is that of the winner, so its
   extent may differ from the box.

The constants were chosen on VOC2007's dev500; ``eval/methods.py`` measures them.

It reads values and attention: ``feature``, ``offset``, ``k_patches`` and ``attention_head`` have no effect. A head
that gives nothing to the free patches, or whose map does not rise above rounding, proposes nothing; where no head
does, as with one patch, equal features or even attention, there is no object.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou  # type: ignore[import-untyped]

from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.methods.attention_seed import free_class_attention, seeded_scores, stands_out
from lostreg.methods.base import Method, Proposal, free_rows, on_grid
from lostreg.regions import Map, Mask, bounding_box, heaviest_component
from lostreg.settings import MethodSettings

LEVELS = (0.0, 0.1, 0.2, 0.3)
"""Shares of a map's maximum above which a patch may belong to a candidate."""

AGREE_FROM = 0.5
"""Two candidates agree by what their IoU has above this, CorLoc's own threshold."""

SAME_BOX = 0.7
"""Candidates of at least this IoU with the winner are averaged with it."""

_SAME_SUPPORT = 1e-9
"""Sums of the same IoUs in another order differ by less."""


def head_maps(values: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """Return the map of each head that has one, ``(maps, n)`` with maximum 1.

    Args:
        values: ``(n, D)``, n at least 1.
        attention: ``(heads, n)``.
    """
    scores = seeded_scores(values, attention[attention.amax(dim=1) > 0])
    scores = scores[stands_out(scores, values)]
    return scores / scores.amax(dim=1, keepdim=True)


def visible_box(region: Mask, frame: Frame) -> tuple[float, float, float, float]:
    """Return the box of a region in patches, clipped where the photograph ends and the padding begins."""
    x0, y0, x1, y1 = bounding_box(region)
    width, height = (side / frame.patch_size for side in frame.content_wh)
    return x0, y0, min(x1, width), min(y1, height)


class Vote(NamedTuple):
    """What candidates agree on.

    Attributes:
        winner: the index of the candidate that most agree with.
        box: ``(4,)``, the mean of the candidates close to it.
        share: of the candidates that are close to it, in (0, 1].
    """

    winner: int
    box: NDArray[np.float64]
    share: float


def vote(boxes: NDArray[np.float64]) -> Vote:
    """Let candidates ``(n, 4)`` vote, each with an area, n at least 1."""
    overlaps = box_iou(torch.from_numpy(boxes), torch.from_numpy(boxes)).numpy()
    support = np.clip(overlaps - AGREE_FROM, 0, None).sum(axis=0)
    winner = int(np.argmax(support >= support.max() - _SAME_SUPPORT))
    close = overlaps[winner] >= SAME_BOX
    return Vote(winner, boxes[close].mean(axis=0), float(close.mean()))


def candidates(features: Features, free: Mask) -> tuple[list[Map], list[Mask]]:
    """Return the map of each head that has one, and its candidate at every level of :data:`LEVELS`, map by map."""
    if not free.any():
        return [], []
    attention = free_class_attention(features, free)
    maps = [on_grid(each, free) for each in head_maps(free_rows(features.projection("v"), free), attention)]
    return maps, [heaviest_component(each - np.float32(level)) for each in maps for level in LEVELS]


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Find one object among the free patches; ``None`` if no head proposes one."""
    maps, regions = candidates(features, free)
    if not maps:
        return None
    winner, mean_box, _ = vote(np.array([visible_box(region, features.frame) for region in regions]))
    x0, y0, x1, y1 = (float(edge) for edge in mean_box)
    return Proposal(
        region=regions[winner],
        scores=maps[winner // len(LEVELS)],
        maps={
            "attention": on_grid(free_class_attention(features, free).mean(dim=0), free),
            "score": np.mean(maps, axis=0, dtype=np.float32),
            "agreement": np.mean(regions, axis=0, dtype=np.float32),
        },
        box_grid=(x0, y0, x1, y1),
    )


METHOD = Method(
    name="head-consensus",
    summary="the box that the heads of the CLS token agree on",
    propose=propose,
    needs=lambda settings: frozenset({"v", "attention"}),
)
