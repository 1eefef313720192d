"""What a head finds that was fitted without labels on photographs (``lostreg fit``, :mod:`lostreg.heads`).

A *logistic* head gives every patch a logit ``z``; the object is the heaviest component of ``z > 0``.

A *vote* head also gives every patch a box, and the IoU q that it expects of it. As in Hough voting and in detectors
without anchors (FCOS, arXiv 1904.01355) patches vote, but votes only choose among boxes with the edges of regions:

1. Candidates: the 3 heaviest 4-connected components of ``z / max z > t`` for each t of 0, 0.1, 0.2, 0.3 and 0.4, and
   the candidates of :mod:`lostreg.methods.head_consensus`; their boxes ``C``, clipped where the photograph ends.
2. Votes: the boxes ``B_k`` of the patches with ``z > 0``, evenly thinned to at most some 150, with weights
   ``w_k = sigmoid(z_k) q_k``.
3. The object is ``argmax_C [sum_k w_k max(IoU(C, B_k) - 0.3, 0) / sum_k w_k + 0.2 r(C)]``, the first of equals, where
   ``r(C)`` is the IoU with an object that the head expects of ``C`` after a second look (:mod:`lostreg.heads.scorer`).

Where ``z`` is nowhere positive among the free patches, the answer is that of head consensus, which needs no head.
The constants were chosen on VOC2007's dev500.

It reads tokens, values and attention: ``feature``, ``offset``, ``k_patches`` and ``attention_head`` have no effect.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou  # type: ignore[import-untyped]

from lostreg.features import Features, HeadReading
from lostreg.methods import head_consensus
from lostreg.methods.base import Method, Proposal, free_rows, on_grid
from lostreg.regions import Map, Mask, heaviest_component, heaviest_components
from lostreg.settings import MethodSettings

Boxes = NDArray[np.float64]

NAME = "fitted"

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4)
"""Shares of the largest logit above which a patch may belong to a candidate."""

PER_LEVEL = 3
"""Components of each level that are candidates."""

VOTE_FROM = 0.3
"""A vote counts for a candidate by the IoU that it has above this."""

SCORE_WEIGHT = 0.2
"""How much the second look counts beside the votes."""

MAX_VOTES = 150
"""Votes are thinned evenly to fewer than twice as many."""


def logit_candidates(logit: Map) -> list[Mask]:
    """Return the components of the levels of a map ``(h, w)`` whose maximum is positive."""
    scaled = logit / logit.max()
    return [region for level in LEVELS for region in heaviest_components(scaled - np.float32(level), PER_LEVEL)]


def votes_of(reading: HeadReading, free: Mask) -> tuple[Boxes, NDArray[np.float64]]:
    """Return the votes of the free patches with a positive logit: boxes ``(n, 4)`` in the grid and weights ``(n,)``.

    Args:
        reading: of a vote head.
        free: ``(h, w)``, with a positive logit somewhere.
    """
    assert reading.boxes is not None
    assert reading.quality is not None
    logit = reading.logit.cpu()
    chosen = torch.from_numpy(free.ravel()) & (logit > 0)
    weights = (logit.sigmoid() * reading.quality.cpu())[chosen].double().numpy()
    rows, columns = free.shape
    boxes = reading.boxes.cpu()[chosen].double().numpy().clip(0, (columns, rows, columns, rows))
    step = max(1, len(boxes) // MAX_VOTES)
    return boxes[::step], weights[::step]


def choose(candidates: Boxes, boxes: Boxes, weights: NDArray[np.float64], reading: HeadReading) -> int:
    """Return the index of the candidate ``(m, 4)`` that votes and the second look together prefer.

    Args:
        candidates: in patches.
        boxes: ``(n, 4)``, the votes of :func:`votes_of`.
        weights: ``(n,)``, theirs.
        reading: of a vote head.
    """
    assert reading.score is not None
    overlaps = box_iou(torch.from_numpy(candidates), torch.from_numpy(boxes)).numpy()
    support = np.clip(overlaps - VOTE_FROM, 0, None) @ (weights / weights.sum())
    expected = reading.score(torch.from_numpy(candidates)).cpu().double().numpy()
    return int(np.argmax(support + SCORE_WEIGHT * expected))


def vote_map(boxes: Boxes, weights: NDArray[np.float64], grid_hw: tuple[int, int]) -> Map:
    """Return for every patch the share of the votes whose box covers its centre, ``(h, w)``."""
    y, x = (np.arange(side) + 0.5 for side in grid_hw)
    in_x = (boxes[:, :1] < x) & (x < boxes[:, 2:3])
    in_y = (boxes[:, 1:2] < y) & (y < boxes[:, 3:])
    return np.asarray((in_y * (weights / weights.sum())[:, None]).T @ in_x, dtype=np.float32)


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Find one object among the free patches; ``None`` if neither the head nor head consensus finds one."""
    if not free.any():
        return None
    reading = features.head_reading()
    logit = on_grid(free_rows(reading.logit, free), free)
    if not (logit > 0).any():
        return head_consensus.propose(features, settings, free)
    scores = on_grid(free_rows(reading.logit.sigmoid(), free), free)
    if reading.boxes is None:
        return Proposal(heaviest_component(logit), scores, maps={"score": scores})
    regions = logit_candidates(logit) + head_consensus.candidates(features, free)[1]
    candidates = np.array([head_consensus.visible_box(region, features.frame) for region in regions])
    boxes, weights = votes_of(reading, free)
    return Proposal(
        region=regions[choose(candidates, boxes, weights, reading)],
        scores=scores,
        maps={"score": scores, "votes": vote_map(boxes, weights, features.grid_hw)},
    )


METHOD = Method(
    name=NAME,
    summary="what a head finds that was fitted without labels",
    propose=propose,
    needs=lambda settings: frozenset({"x", "v", "attention"}),
)
