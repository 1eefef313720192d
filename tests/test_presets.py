"""Presets: every family has one that its models can run, and the measured one is measured."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from support import frame_of

from lostreg.backbone import Backbone, build_model
from lostreg.catalogue import BY_NAME, OFFLINE_MODEL, Family, ModelEntry
from lostreg.methods import get_method
from lostreg.objects import find_objects
from lostreg.presets import PRESETS

SMALLEST = {  # timm ids of small models with the same tokens as the family's
    "dino": "vit_tiny_patch16_224",
    "dinov2": "vit_small_patch14_dinov2",
    "dinov2-reg": "vit_small_patch14_reg4_dinov2",
    "dinov3": "vit_small_patch16_dinov3",
    "deit3": "deit3_small_patch16_224",
    "openclip": "vit_tiny_patch16_224",
    "clip": "vit_tiny_patch16_224",
    "siglip": "vit_base_patch16_siglip_224",
    "mae": "vit_tiny_patch16_224",
    "other": "vit_medium_patch16_reg4_gap_256",  # registers and no CLS token
}


def test_every_family_of_the_catalogue_has_a_preset_and_a_reason():
    assert set(PRESETS) == set(get_args(Family)) >= {entry.family for entry in BY_NAME.values()}
    assert all(preset.why for preset in PRESETS.values())


@pytest.mark.parametrize("family", PRESETS)
def test_a_preset_runs_on_the_tokens_that_its_family_has(family):
    torch.manual_seed(0)
    entry = ModelEntry(family, SMALLEST[family], family, "none")
    vit = Backbone(entry, build_model(entry), torch.device("cpu"), "fp32")
    settings, patch = PRESETS[family].settings, vit.spec.patch_size
    needs = get_method(settings.method).needs(settings)
    inputs = torch.randn(1, 3, 6 * patch, 8 * patch, generator=torch.Generator().manual_seed(0))
    (features,) = vit.extract(inputs, [frame_of((6, 8), patch)], needs)
    for found in find_objects(features, settings):
        assert found.proposal.region.any()
    assert set(features.tokens) == needs - {"attention"}


def test_only_families_with_a_figure_leave_lost():
    assert PRESETS[BY_NAME[OFFLINE_MODEL].family].settings.method == "head-consensus"
    others = {family: preset for family, preset in PRESETS.items() if preset.settings.method != "lost"}
    assert others.keys() == {"dinov2"}
    unmeasured = {family for family, preset in PRESETS.items() if "not measured here" in preset.why}
    assert unmeasured == PRESETS.keys() - {"dino", "dinov2"}
