"""Inspection on randomly initialised models of every family: norms, attention and registers as timm has them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from lostreg.backbone import Backbone, build_model
from lostreg.catalogue import ModelEntry
from lostreg.geometry import Frame
from lostreg.registers.inspection import inspect_pictures, summarise
from lostreg.registers.shift import add_test_time_register

FAMILIES = {  # timm id: (prefix tokens, registers)
    "vit_small_patch14_reg4_dinov2": (5, 4),
    "vit_base_patch14_reg1_tipsv2": (2, 1),
    "vit_small_patch16_dinov3": (5, 4),
    "vit_small_plus_patch16_dinov3_qkvb": (5, 4),
    "vit_medium_patch16_reg4_gap_256": (4, 4),
    "vit_medium_patch16_rope_reg1_gap_256": (1, 1),
    "vit_wee_patch16_reg1_gap_256": (1, 1),
    "vit_tiny_patch16_224": (1, 0),
    "vit_base_patch16_siglip_224": (0, 0),
}
GRID = (2, 3)


@functools.cache
def backbone(timm_id, units=()):
    torch.manual_seed(0)
    entry = ModelEntry(timm_id, timm_id, "other", "none")
    try:
        model = build_model(entry)
    except RuntimeError as error:  # how timm says that a release does not know a model yet
        pytest.skip(str(error))
    del model.blocks[3:]
    return Backbone(entry, add_test_time_register(model, dict(units), timm_id), torch.device("cpu"), "fp32")


def look(vit, count=2):
    p = vit.spec.patch_size
    frame = Frame((GRID[1] * p, GRID[0] * p), (GRID[1] * p, GRID[0] * p), GRID, p)
    inputs = torch.randn(count, 3, GRID[0] * p, GRID[1] * p, generator=torch.Generator().manual_seed(1))
    return inputs, [frame] * count, inspect_pictures(vit, inputs, [frame] * count)


@pytest.mark.parametrize("timm_id", FAMILIES)
def test_registers_are_located_and_kept_out_of_the_grid(timm_id):
    vit = backbone(timm_id)
    prefix, registers = FAMILIES[timm_id]
    inputs, frames, seen = look(vit)
    assert (vit.prefix_tokens, vit.registers) == (prefix, registers)
    behind = []
    hooks = [block.register_forward_hook(lambda m, i, o: behind.append(o)) for block in vit.model.blocks]
    with torch.inference_mode():
        vit.model.forward_features(inputs)
    for hook in hooks:
        hook.remove()
    norms = torch.stack([each.norm(dim=-1) for each in behind], dim=1).numpy()
    features = vit.extract(inputs, frames, frozenset({"attention"}))
    for index, each in enumerate(seen):
        np.testing.assert_allclose(each.norms, norms[index, :, prefix:], rtol=1e-4)
        np.testing.assert_allclose(each.extra_norms, norms[index, :, :prefix], rtol=1e-4)
        np.testing.assert_allclose(each.attention, features[index].attention.mean(dim=1).numpy(), rtol=1e-4)
        assert each.attention.shape == (prefix, GRID[0] * GRID[1])
        assert each.neighbour_cosine.shape == (GRID[0] * GRID[1],)


def test_a_test_time_register_is_the_last_of_the_extra_tokens():
    vit = backbone("vit_small_patch16_dinov3", ((1, (3, 4)),))
    _, _, seen = look(vit)
    assert seen[0].norms.shape == (3, 6)
    assert seen[0].extra_norms.shape == (3, 6)
    assert seen[0].attention.shape == (6, 6)


def test_inspection_leaves_the_model_as_it_was():
    vit = backbone("vit_tiny_patch16_224")
    inputs, _, _ = look(vit)
    with torch.inference_mode():
        before = vit.model.forward_features(inputs)
        look(vit)
        assert torch.equal(before, vit.model.forward_features(inputs))


def test_a_summary_of_random_models_tells_its_blocks():
    _, _, seen = look(backbone("vit_tiny_patch16_224"))
    summary = summarise(seen)
    assert (summary.pictures, summary.reference_layer, len(summary.blocks)) == (2, 1, 3)
    norms = np.concatenate([each.norms[1] for each in seen])
    assert summary.blocks[1].median == pytest.approx(float(np.median(norms)))
    assert summary.blocks[1].highest == pytest.approx(float(norms.max()))
    by_hand = float((norms > norms.mean(dtype=np.float64) + 3 * norms.std(dtype=np.float64)).mean())
    assert summary.published[1].share == by_hand
    assert summary.border_share[1] == 1.0
