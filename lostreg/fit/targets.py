"""What the vote net shall say of a picture: pseudo-boxes of photographs, known boxes of composites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lostreg.fit.cache import Picture
from lostreg.heads.nets import patch_centres
from lostreg.methods import head_consensus
from lostreg.regions import Map, heaviest_component

LOGIT_VOTES = 2
"""How often each box of the logistic's levels counts beside the boxes of the ViT's heads."""

SURE_FROM = 0.3
"""Share of agreeing candidates from which a pseudo-box counts at all."""


@dataclass(frozen=True)
class Target:
    """What shall be said of one picture.

    Attributes:
        key: of its tokens in the cache.
        foreground: ``(h, w)`` ``float32``, 1 on objects.
        owner: ``(h, w)`` ``int64``, the number of the box that a patch votes for, from 1; 0 where it has no vote.
        boxes: ``(k, 4)`` ``float32``, in patches.
        weights: ``(k,)`` ``float32``, how much the votes for each box count.
    """

    key: str
    foreground: torch.Tensor
    owner: torch.Tensor
    boxes: torch.Tensor
    weights: torch.Tensor


def pseudo_box(picture: Picture, logit: Map) -> tuple[NDArray[np.float64], float] | None:
    """Return the box in patches that the ViT's heads and the logistic agree on, and its weight in [0, 1].

    Head consensus with the boxes of ``logit / max > t`` among the candidates; ``None`` where there is no candidate.
    The weight grows with the share of the candidates that agree, see :func:`trust`.
    """
    candidates = [picture.boxes]
    if logit.max() > 0:
        scaled = logit / logit.max()
        levels = [heaviest_component(scaled - np.float32(level)) for level in head_consensus.LEVELS]
        own = np.array([head_consensus.visible_box(region, picture.frame) for region in levels])
        candidates += [own] * LOGIT_VOTES
    boxes = np.concatenate(candidates).astype(np.float64)
    if not len(boxes):
        return None
    agreed = head_consensus.vote(boxes)
    return agreed.box, trust(agreed.share)


def trust(share: float) -> float:
    """Return how much a pseudo-box counts that a share s of the candidates agrees on: ``max(0, (s - 0.3) / 0.7)``."""
    return max(0.0, (share - SURE_FROM) / (1 - SURE_FROM))


def photograph_target(picture: Picture, logit: Map) -> Target:
    """Return what shall be said of a photograph: foreground where the logit is positive, votes inside its box."""
    foreground = torch.from_numpy(logit > 0)
    agreed = pseudo_box(picture, logit)
    box, weight = (np.zeros(4), 0.0) if agreed is None else agreed
    x, y = patch_centres(*logit.shape)
    inside = foreground & (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
    return Target(
        picture.key,
        foreground.float(),
        inside.long(),
        torch.tensor(box[None], dtype=torch.float32),
        torch.tensor([weight], dtype=torch.float32),
    )


def composite_target(key: str, owner: NDArray[np.int64], boxes: NDArray[np.float64], logit: Map) -> Target:
    """Return what shall be said of a composite, whose boxes are known.

    Args:
        key: of its tokens in the cache.
        owner: ``(h, w)``, the number of the object on each patch from 1, 0 for none.
        boxes: ``(k, 4)`` in patches.
        logit: ``(h, w)`` of the logistic; it says what else is an object, of which no box is known.
    """
    return Target(
        key,
        torch.from_numpy((owner > 0) | (logit > 0)).float(),
        torch.from_numpy(owner),
        torch.tensor(boxes, dtype=torch.float32),
        torch.ones(len(boxes)),
    )
