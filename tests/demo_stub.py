"""The demo with a ViT that costs nothing, as a process of its own: prints its address, ends with its stdin."""

from __future__ import annotations

import sys
from unittest.mock import patch

import torch
from support import StubBackbone

from lostreg.catalogue import BY_NAME, OFFLINE_MODEL
from lostreg.demo.models import Models
from lostreg.demo.server import launch
from lostreg.demo.storage import own_folder
from lostreg.discover import Discoverer
from lostreg.features import Features
from lostreg.weights import Weights

NAMES = ("dinov2-s14", "dino-s16", OFFLINE_MODEL)


class AllParts(StubBackbone):
    """Every projection is the patch's colour; the prefix tokens attend to bright patches."""

    def block_index(self, layer):
        return layer % 12

    def extract(self, inputs, frames, parts, layer=-1):
        features = super().extract(inputs, frames, parts, layer)
        return [self._completed(each, parts) for each in features]

    def _completed(self, features, parts):
        keys = features.tokens["k"]
        tokens = {name: keys for name in ("k", "q", "v", "x") if name in parts}
        brightness = keys.sum(dim=1).softmax(dim=0)
        attention = brightness.expand(3, 6, -1).contiguous()
        return Features(features.frame, tokens, attention, class_token=True, norms=keys.norm(dim=1))


def stub(name, backbone=None):
    """Return a discoverer that needs no weights, made as every other is, around a ViT or the one without cost."""

    def made(*_):
        return backbone or AllParts()

    entry = BY_NAME[name or NAMES[0]]
    weights = Weights(entry, None, "stub", entry.sha256 or "0" * 64)
    with patch("lostreg.discover.resolve", lambda *_: weights), patch("lostreg.discover.load_backbone", made):
        return Discoverer(method="lost", feature="k", offset="none", device="cpu", engine="torch")


def stub_models():
    """Return two models on offer."""
    return Models(NAMES, stub)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with own_folder() as folder:
        page = launch(stub_models())
        print(page.local_url, folder, flush=True)
        sys.stdin.read()
        page.close(verbose=False)
