"""How a head does on what it was not fitted on, without a label.

On held-out photographs: how often its box is that of head consensus (IoU of at least 0.5). That is agreement, not
accuracy: a head that only repeats head consensus would reach 100 %. On held-out composites the boxes are known: how
often the box found is one of them, for the head and for head consensus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou  # type: ignore[import-untyped]

from lostreg.fit.cache import Picture
from lostreg.heads.head import Net, read_tokens
from lostreg.methods import fitted, head_consensus
from lostreg.regions import heaviest_component

HIT = 0.5
"""IoU at which two boxes count as the same, CorLoc's threshold."""

Box = NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """A held-out picture, and its true boxes ``(k, 4)`` in patches where it is a composite."""

    picture: Picture
    boxes: Box | None = None


def held_out_report(net: Net, held_out: Sequence[Known], tokens_of: Callable[[str], torch.Tensor]) -> dict[str, Any]:
    """Return counts of pictures, agreements and hits, JSON-ready."""
    photographs = composites = agree = head_hits = consensus_hits = 0
    for known in held_out:
        plain = consensus_box(known.picture)
        found = head_box(net, known.picture, tokens_of(known.picture.key))
        if known.boxes is None:
            photographs += 1
            agree += _hits(found, plain[None])
        else:
            composites += 1
            head_hits += _hits(found, known.boxes)
            consensus_hits += _hits(plain, known.boxes)
    return {
        "photographs": photographs,
        "agree_with_head_consensus": agree,
        "composites": composites,
        "composites_hit_by_head": head_hits,
        "composites_hit_by_head_consensus": consensus_hits,
    }


def consensus_box(picture: Picture) -> Box:
    """Return head consensus's box in patches; without a candidate the whole grid."""
    if len(picture.boxes):
        return head_consensus.vote(picture.boxes.astype(np.float64)).box
    rows, columns = picture.frame.grid_hw
    return np.array([0.0, 0.0, columns, rows])


def head_box(net: Net, picture: Picture, tokens: torch.Tensor) -> Box:
    """Return the box in patches that the method ``fitted`` finds with this head."""
    reading = read_tokens(net, tokens)
    logit = reading.logit.cpu().numpy().reshape(picture.frame.grid_hw)
    if logit.max() <= 0:
        return consensus_box(picture)
    regions = [heaviest_component(logit)] if reading.boxes is None else fitted.logit_candidates(logit)
    boxes = np.array([head_consensus.visible_box(region, picture.frame) for region in regions])
    if reading.boxes is None:
        return np.asarray(boxes[0])
    candidates = np.concatenate([boxes, picture.boxes])
    votes = fitted.votes_of(reading, np.ones(logit.shape, dtype=np.bool_))
    return np.asarray(candidates[fitted.choose(candidates, votes, fitted.expected_iou(reading, candidates))])


def _hits(box: Box, others: Box) -> bool:
    return bool(box_iou(torch.from_numpy(box[None]), torch.from_numpy(others)).max() >= HIT)
