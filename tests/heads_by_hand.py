"""Heads with known weights, for tests."""

from __future__ import annotations

import torch

from lostreg.catalogue import OFFLINE_MODEL, OFFLINE_SHA256
from lostreg.heads import Head, HeadInfo, make_head
from lostreg.heads.nets import LogisticNet, TwoStageNet, VoteNet
from lostreg.heads.scorer import BoxScorer

SHAPE = {"votes": {"width": 16, "dilations": [1, 2]}, "scorer": {"axes": 4, "width": 8}}


def randomised(net):
    """Draw all parameters of a network."""
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return net


def head_of(of_kind, dim=384, seed=0, **changes) -> tuple[Head, bytes]:
    """Return a head with random weights for the offline model, and the content of its file."""
    torch.manual_seed(seed)
    if of_kind == "logistic":
        net, shape = randomised(LogisticNet(dim)), {}
    else:
        votes, scorer = randomised(VoteNet(dim, 16, (1, 2))), randomised(BoxScorer(dim, 4, 8))
        torch.nn.init.normal_(scorer.axes, std=0.5)
        net, shape = TwoStageNet(votes, scorer), SHAPE
    values = {"kind": of_kind, "model": OFFLINE_MODEL, "weights_sha256": OFFLINE_SHA256, "layer": 11, "dim": dim}
    return make_head(HeadInfo(**values | {"net": shape, "provenance": {"seed": seed}} | changes), net)
