"""What is kept of a picture: what the methods say of it, and enough to find the same boxes again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from heads_by_hand import head_of
from maps_by_hand import extent, patches
from support import features_of

from lostreg.discovery import on_photograph
from lostreg.fit.extract import entry_of
from lostreg.fit.holdout import head_box
from lostreg.geometry import Frame
from lostreg.heads.head import read_tokens
from lostreg.methods import diffusion, head_consensus
from lostreg.objects import find_objects
from lostreg.settings import MethodSettings

FREE = np.ones((7, 9), dtype=bool)


def features(seed, dim=8):
    """Return features of a picture whose last row and column are half padding."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:7, :9]
    area = ((x > 4) + 2 * (y > 3)).ravel()
    values = generator.normal(size=(4, dim))[area] * 2 + generator.normal(size=(63, dim)) * 0.5
    attention = generator.random((3, 63)) ** 3
    made = features_of(values, (7, 9), "v", attention / attention.sum())
    tokens = {**made.tokens, "x": torch.from_numpy((values + generator.normal(size=values.shape)).astype(np.float32))}
    return dataclasses.replace(made, tokens=tokens, frame=Frame((120, 91), (120, 91), (7, 9), 14))


def test_an_entry_holds_mask_candidates_and_unit_tokens():
    for seed in range(5):
        found = features(seed)
        entry = entry_of(found, None)
        assert entry.mask.tolist() == (diffusion.propose(found, MethodSettings(), FREE).scores > 0).tolist()
        corners = [extent(patches(region)) for region in head_consensus.candidates(found, FREE)[1]]
        expected = [(x0, y0, min(x1, 120 / 14), min(y1, 6.5)) for x0, y0, x1, y1 in corners]
        np.testing.assert_allclose(entry.boxes, expected, rtol=1e-6)
        assert entry.tokens.float().norm(dim=-1).numpy() == pytest.approx(1, abs=1e-3)
        assert entry.rgb.numel() == 0
        assert entry.picture("a").frame == found.frame


def test_pixels_are_kept_at_the_size_that_the_vit_sees():
    rgb = np.random.default_rng(0).integers(0, 256, size=(182, 240, 3), dtype=np.uint8)
    assert entry_of(features(0), rgb).rgb.shape == (91, 120, 3)
    same = np.ascontiguousarray(rgb[:91, :120])
    assert (entry_of(features(0), same).rgb.numpy() == same).all()


@pytest.mark.parametrize("kind", ["logistic", "vote"])
def test_a_head_finds_on_entries_what_it_finds_on_features(kind):
    fallbacks = 0
    for seed in range(12):
        head, _ = head_of(kind, dim=8, seed=seed)
        found, settings = features(seed), MethodSettings("fitted")
        entry = entry_of(found, None)
        reading = read_tokens(head.net, entry.tokens)
        fallbacks += float(reading.logit.max()) <= 0
        objects = find_objects(dataclasses.replace(found, reading=reading), settings)
        boxes = on_photograph(objects, found.frame, settings).boxes_xyxy
        assert head_box(head.net, entry.picture("a"), entry.tokens) * 14 == pytest.approx(boxes[0], abs=1e-3)
    assert fallbacks < 12


def test_where_nothing_stands_out_the_mask_is_empty_and_there_is_no_candidate():
    even = features_of(np.ones((63, 4)), (7, 9), "v", np.full((2, 63), 0.01))
    entry = entry_of(dataclasses.replace(even, tokens={**even.tokens, "x": torch.ones(63, 4)}), None)
    assert not entry.mask.any()
    assert entry.boxes.shape == (0, 4)
