"""What a head finds that was fitted without labels on photographs (``lostreg fit``, :mod:`lostreg.heads`).

A *logistic* head gives every patch a logit ``z``; the object is the heaviest component of ``z > 0``.

A *vote* head also gives every patch a box, and the IoU q that it expects of it. As in Hough voting and in detectors
without anchors (FCOS, arXiv 1904.01355) patches vote, but votes only choose among boxes with the edges of regions:

1. Candidates: the 3 heaviest 4-connected components of ``z / max z > t`` for each t of 0, 0.1, 0.2, 0.3 and 0.4, and
   the candidates of :mod:`lostreg.methods.head_consensus`; their boxes ``C``, clipped where the photograph ends.
2. Votes: the boxes ``B_k`` of the patches with ``z > 0``, evenly thinned to at most some 150, with weights
   ``w_k`` in proportion to ``sigmoid(z_k) q_k``, of sum 1.
3. The object is ``argmax_C [sum_k w_k max(IoU(C, B_k) - 0.5, 0) + 0.35 r(C)]``, the first of equals, where
   ``r(C)`` is the IoU with an object that the head expects of ``C`` after a second look (:mod:`lostreg.heads.scorer`).

Of a photograph that was looked at several times (:mod:`lostreg.looks`) the candidates and the votes of all looks are
pooled, each look's votes with the same sum, and ``r(C)`` is the mean over the looks.

Where ``z`` is nowhere positive among the free patches, the answer is that of head consensus, which needs no head.
The constants were chosen on VOC2007's dev500.

It reads tokens, values and attention: ``feature``, ``offset``, ``k_patches`` and ``attention_head`` have no effect.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou  # type: ignore[import-untyped]

from lostreg.features import Features, HeadReading
from lostreg.geometry import Frame, carry_boxes, carry_mask
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

VOTE_FROM = 0.5
"""A vote counts for a candidate by the IoU that it has above this, CorLoc's own threshold."""

SCORE_WEIGHT = 0.35
"""How much the second look counts beside the votes."""

MAX_VOTES = 150
"""Votes are thinned evenly to fewer than twice as many."""


def logit_candidates(logit: Map) -> list[Mask]:
    """Return the components of the levels of a map ``(h, w)`` whose maximum is positive."""
    scaled = logit / logit.max()
    return [region for level in LEVELS for region in heaviest_components(scaled - np.float32(level), PER_LEVEL)]


class Votes(NamedTuple):
    """What patches vote for.

    Attributes:
        boxes: ``(n, 4)`` in patches.
        weights: ``(n,)``, positive, of sum 1.
    """

    boxes: Boxes
    weights: NDArray[np.float64]


def votes_of(reading: HeadReading, free: Mask) -> Votes:
    """Return the votes of the free patches with a positive logit.

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
    return Votes(boxes[::step], weights[::step] / weights[::step].sum())


def expected_iou(reading: HeadReading, boxes: Boxes) -> NDArray[np.float64]:
    """Return the IoU ``(m,)`` with an object that a vote head expects of boxes ``(m, 4)`` in patches."""
    assert reading.score is not None
    return np.asarray(reading.score(torch.from_numpy(boxes)).cpu().double().numpy())


def choose(candidates: Boxes, votes: Votes, expected: NDArray[np.float64]) -> int:
    """Return the index of the candidate that votes and the second look together prefer.

    Args:
        candidates: ``(m, 4)`` in the same patches as the votes.
        votes: at least one.
        expected: ``(m,)``, the IoU with an object that is expected of each.
    """
    overlaps = box_iou(torch.from_numpy(candidates), torch.from_numpy(votes.boxes)).numpy()
    support = np.clip(overlaps - VOTE_FROM, 0, None) @ votes.weights
    return int(np.argmax(support + SCORE_WEIGHT * expected))


def vote_map(votes: Votes, grid_hw: tuple[int, int]) -> Map:
    """Return for every patch the share of the votes whose box covers its centre, ``(h, w)``."""
    y, x = (np.arange(side) + 0.5 for side in grid_hw)
    in_x = (votes.boxes[:, :1] < x) & (x < votes.boxes[:, 2:3])
    in_y = (votes.boxes[:, 1:2] < y) & (y < votes.boxes[:, 3:])
    return np.asarray((in_y * votes.weights[:, None]).T @ in_x, dtype=np.float32)


class Seen(NamedTuple):
    """What one look at the photograph proposes, in the grid of the first look.

    Attributes:
        boxes: ``(m, 4)``, the candidates.
        regions: of the candidates, ``m`` masks ``(h, w)``, none of them empty.
        votes: for them; ``None`` where the head finds nothing in this look.
    """

    boxes: Boxes
    regions: list[Mask]
    votes: Votes | None


def see(look: Features, free: Mask, frame: Frame) -> Seen:
    """Return what a look proposes.

    Args:
        look: at the photograph, read by a vote head.
        free: ``(h, w)``, the free patches of the first look.
        frame: of the first look.
    """
    open_here = carry_mask(free, frame, look.frame)
    reading = look.head_reading()
    logit = on_grid(free_rows(reading.logit, open_here), open_here)
    votes, found = None, head_consensus.candidates(look, open_here)[1]
    if (logit > 0).any():
        found = logit_candidates(logit) + found
        own = votes_of(reading, open_here)
        votes = Votes(carry_boxes(own.boxes, look.frame, frame), own.weights)
    carried = [carry_mask(region, look.frame, frame) & free for region in found]
    kept = [i for i, region in enumerate(carried) if region.any()]
    boxes = np.array([head_consensus.visible_box(found[i], look.frame) for i in kept]).reshape(-1, 4)
    return Seen(carry_boxes(boxes, look.frame, frame), [carried[i] for i in kept], votes)


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
    return _pool(features, free, scores)


def _pool(features: Features, free: Mask, scores: Map) -> Proposal:
    """Let the votes of all looks choose among the candidates of all looks."""
    frame, looks = features.frame, (features, *features.looks)
    seen = [see(look, free, frame) for look in looks]
    boxes = np.concatenate([each.boxes for each in seen])
    regions = [region for each in seen for region in each.regions]
    cast = [each.votes for each in seen if each.votes is not None]
    votes = Votes(
        np.concatenate([each.boxes for each in cast]), np.concatenate([each.weights for each in cast]) / len(cast)
    )
    expected = [expected_iou(look.head_reading(), carry_boxes(boxes, frame, look.frame)) for look in looks]
    winner = choose(boxes, votes, np.mean(expected, axis=0))
    x0, y0, x1, y1 = (float(edge) for edge in boxes[winner])
    return Proposal(
        region=regions[winner],
        scores=scores,
        maps={"score": scores, "votes": vote_map(votes, features.grid_hw)},
        box_grid=(x0, y0, x1, y1),
    )


METHOD = Method(
    name=NAME,
    summary="what a head finds that was fitted without labels",
    propose=propose,
    needs=lambda settings: frozenset({"x", "v", "attention"}),
)
