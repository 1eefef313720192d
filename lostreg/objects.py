"""From one object to several: propose, take its patches out of the graph, propose again.

As MaskCut does for normalised cuts (Wang et al., CutLER, arXiv 2301.11320, sec. 3.2), the patches of what was
found leave the graph before the next round. With ``auto`` the rounds go on while the new object covers at
least 1 % of the patches (MaskCut's smallest mask) and stands out at least half as clearly as the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lostreg.features import Features
from lostreg.methods import Proposal, get_method
from lostreg.regions import contrast
from lostreg.settings import MethodSettings

AUTO_MOST = 10
AUTO_MIN_AREA = 0.01
AUTO_MIN_SCORE_SHARE = 0.5


@dataclass(frozen=True)
class ScoredProposal:
    """A proposal and how clearly it stands out of what was left when it was found, in [0, 1]."""

    proposal: Proposal
    score: float


def find_objects(features: Features, settings: MethodSettings) -> list[ScoredProposal]:
    """Find up to ``settings.objects`` objects in the features of one photograph, clearest method order kept.

    Raises:
        FeatureError: the features lack what the method needs, or are not finite.
        UsageError: the method is unknown or cannot use a setting with this model.
    """
    rounds = _rounds(features, settings)
    if settings.objects != "auto":
        return list(islice(rounds, settings.objects))
    kept: list[ScoredProposal] = []
    for found in rounds:
        small = found.proposal.region.mean() < AUTO_MIN_AREA
        faint = bool(kept) and found.score < AUTO_MIN_SCORE_SHARE * kept[0].score
        if kept and (small or faint):
            break
        kept.append(found)
        if len(kept) == AUTO_MOST:
            break
    return kept


def _rounds(features: Features, settings: MethodSettings) -> Iterator[ScoredProposal]:
    propose = get_method(settings.method).propose
    free = np.ones(features.grid_hw, dtype=np.bool_)
    while free.any():
        proposal = propose(features, settings, free)
        if proposal is None:
            return
        yield ScoredProposal(proposal, contrast(proposal.scores, proposal.region, free))
        free = free & ~proposal.region
