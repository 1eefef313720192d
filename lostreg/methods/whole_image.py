"""The floor: the whole image as the object. A backbone that scores near it is not working."""

from __future__ import annotations

import numpy as np

from lostreg.features import Features
from lostreg.methods.base import Method, Proposal
from lostreg.regions import Mask
from lostreg.settings import MethodSettings


def propose(features: Features, settings: MethodSettings, free: Mask) -> Proposal | None:
    """Return the whole image once; ``None`` when any of it is taken."""
    if not free.all():
        return None
    return Proposal(region=free.copy(), scores=np.zeros(free.shape, dtype=np.float32))


METHOD = Method(
    name="whole-image",
    summary="the whole image (floor)",
    propose=propose,
    needs=lambda settings: frozenset(),
)
