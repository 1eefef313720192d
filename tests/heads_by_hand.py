"""Heads with known weights, for tests."""

from __future__ import annotations

import torch

from lostreg.catalogue import OFFLINE_MODEL, OFFLINE_SHA256
from lostreg.heads import Head, HeadInfo, make_head
from lostreg.heads.nets import LogisticNet, VoteNet


def head_of(of_kind, dim=384, seed=0, **changes) -> tuple[Head, bytes]:
    """Return a head with random weights for the offline model, and the content of its file."""
    torch.manual_seed(seed)
    net = LogisticNet(dim) if of_kind == "logistic" else VoteNet(dim, 16, (1, 2))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    shape = {} if of_kind == "logistic" else {"width": 16, "dilations": [1, 2]}
    values = {"kind": of_kind, "model": OFFLINE_MODEL, "weights_sha256": OFFLINE_SHA256, "layer": 11, "dim": dim}
    return make_head(HeadInfo(**values | {"net": shape, "provenance": {"seed": seed}} | changes), net)
