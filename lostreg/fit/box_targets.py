"""What the box scorer shall say: boxes of a picture, good and bad, and the IoU of each with the box that is right.

Right are the known boxes of a composite, and of a photograph the pseudo-box where at least half of the candidates agree
on it. The boxes are those that the scorer will choose among, the right ones, some like them, and where two objects are
known, boxes of both as one: that is the mistake of methods without a fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou  # type: ignore[import-untyped]

from lostreg.fit.cache import Picture
from lostreg.fit.targets import Target, trust
from lostreg.methods import fitted, head_consensus
from lostreg.regions import Map

AGREED_FROM = 0.5
"""Share of agreeing candidates from which a pseudo-box is taken for right."""

JITTERED = 5
"""Boxes drawn around each right one; each edge moves by up to JITTER of the box's side."""

JITTER = 0.25
UNION_JITTER = 0.1

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class BoxTarget:
    """What shall be said of the boxes of one picture.

    Attributes:
        key: of its tokens in the cache.
        logit: ``(h, w)`` ``float32``, positive on objects.
        boxes: ``(n, 4)`` ``float32``, in patches.
        overlaps: ``(n,)`` ``float32``, the IoU of each with the right box that it fits best.
        weight: how much the picture counts.
    """

    key: str
    logit: torch.Tensor
    boxes: torch.Tensor
    overlaps: torch.Tensor
    weight: float


def box_target(picture: Picture, logit: Map, target: Target, generator: np.random.Generator) -> BoxTarget | None:
    """Return what shall be said of the boxes of a picture; ``None`` where too few agree on which one is right.

    Args:
        picture: a photograph or a composite.
        logit: ``(h, w)``, positive on objects.
        target: holds the right boxes.
        generator: draws boxes like the right ones.
    """
    weight = float(target.weights.max())
    if weight < trust(AGREED_FROM):
        return None
    right = target.boxes.double().numpy()
    boxes = np.concatenate(
        [
            candidate_boxes(picture, logit),
            right,
            *(jittered(box, JITTERED, JITTER, generator) for box in right),
            *(union_boxes(*pair, generator) for pair in combinations(right, 2)),
        ]
    )
    boxes = np.unique(inside(boxes, picture), axis=0)
    overlaps = box_iou(torch.from_numpy(boxes), torch.from_numpy(right)).amax(dim=1)
    return BoxTarget(picture.key, torch.from_numpy(logit), torch.from_numpy(boxes).float(), overlaps.float(), weight)


def candidate_boxes(picture: Picture, logit: Map) -> Boxes:
    """Return the boxes ``(n, 4)`` that the method ``fitted`` would choose among with this logit."""
    regions = fitted.logit_candidates(logit) if logit.max() > 0 else []
    levels = np.array([head_consensus.visible_box(region, picture.frame) for region in regions])
    return np.concatenate([levels.reshape(-1, 4), picture.boxes]).astype(np.float64)


def jittered(box: Boxes, count: int, most: float, generator: np.random.Generator) -> Boxes:
    """Return ``count`` boxes like a box ``(4,)``: every edge moved by up to ``most`` of the side that it ends."""
    sides = np.tile(box[2:] - box[:2], 2)
    return np.asarray(box + generator.uniform(-most, most, size=(count, 4)) * sides)


def union_boxes(first: Boxes, second: Boxes, generator: np.random.Generator) -> Boxes:
    """Return the box of two boxes ``(4,)`` as one, and one like it: ``(2, 4)``."""
    union = np.concatenate([np.minimum(first[:2], second[:2]), np.maximum(first[2:], second[2:])])
    return np.concatenate([union[None], jittered(union, 1, UNION_JITTER, generator)])


def inside(boxes: Boxes, picture: Picture) -> Boxes:
    """Clip boxes ``(n, 4)`` to the picture, and keep them at least a patch wide and high."""
    size = np.array(picture.frame.content_wh) / picture.frame.patch_size
    low = boxes[:, :2].clip(0, size - 1)
    return np.concatenate([low, np.maximum(boxes[:, 2:].clip(0, size), low + 1)], axis=1)
