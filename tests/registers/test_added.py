"""Registers added to a ViT: what stays the same, what is there, what trains."""

from __future__ import annotations

import pytest
import torch
from small_vits import small_vit

from lostreg.backbone import Backbone, build_model
from lostreg.catalogue import BY_NAME
from lostreg.errors import ModelError
from lostreg.registers.added import add_registers, random_registers, trainable

INPUTS = torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(3))
ARCHITECTURES = {
    "vit_tiny_patch16_224": {},
    "deit3_small_patch16_224": {},  # no position for CLS to begin with
    "vit_base_patch16_siglip_224": {},  # no CLS
    "vit_base_patch16_clip_224": {},  # a norm before the blocks
}


@pytest.mark.parametrize("timm_id", ARCHITECTURES)
def test_without_registers_it_is_the_stock_model(timm_id):
    model = small_vit(timm_id)
    changed = add_registers(model, torch.zeros(0, model.embed_dim), timm_id)
    with torch.inference_mode():
        torch.testing.assert_close(changed.forward_features(INPUTS), model.forward_features(INPUTS), rtol=0, atol=2e-6)


def test_dinos_own_positions_stay_too():
    torch.manual_seed(0)
    model = build_model(BY_NAME["dino-s16"]).eval()
    model.blocks = model.blocks[:2]
    with torch.inference_mode():
        stock = model.forward_features(INPUTS)
        none = add_registers(model, torch.zeros(0, 384), "dino-s16").forward_features(INPUTS)
        torch.testing.assert_close(none, stock, rtol=0, atol=2e-6)
        three = add_registers(model, random_registers(3, 384, 0), "dino-s16")._pos_embed(torch.zeros(1, 2, 3, 384))
    assert three.shape == (1, 1 + 3 + 6, 384)


@pytest.mark.parametrize("timm_id", ARCHITECTURES)
def test_registers_stand_between_cls_and_patches_without_a_position(timm_id):
    model = small_vit(timm_id)
    registers = random_registers(3, model.embed_dim, seed=5)
    changed = add_registers(model, registers, timm_id)
    cls = int(model.cls_token is not None)
    with torch.inference_mode():
        stock = model._pos_embed(model.patch_embed(INPUTS))
        tokens = changed._pos_embed(changed.patch_embed(INPUTS))
    torch.testing.assert_close(tokens[:, cls : cls + 3], registers.expand(2, -1, -1))
    torch.testing.assert_close(torch.cat([tokens[:, :cls], tokens[:, cls + 3 :]], dim=1), stock)
    entry = BY_NAME["dino-s16"]
    wrapped = Backbone(entry, changed, torch.device("cpu"), "fp32")
    assert (wrapped.prefix_tokens, wrapped.registers) == (cls + 3, 3)


def test_registers_start_with_the_size_of_the_paper():
    registers = random_registers(400, 256, seed=1)
    assert registers.std().item() == pytest.approx(1 / 16, rel=0.02)
    assert torch.equal(registers, random_registers(400, 256, seed=1))
    assert not torch.equal(registers, random_registers(400, 256, seed=2))


def test_registers_positions_convolution_and_last_block_train_and_nothing_else():
    model = small_vit()
    changed = add_registers(model, random_registers(2, 192, 0), "small")
    block = [name for name, _ in model.named_parameters() if name.startswith("blocks.1.")]
    assert len(block) == 12
    expected = {"reg_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", *block}
    assert trainable(changed).keys() == expected
    shared = {id(values) for values in model.parameters()}
    own = {name for name, values in changed.named_parameters() if id(values) not in shared}
    assert own == expected | {"cls_token"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("dinov2-s14-reg", "was trained with 4 registers already; use --registers native"),
        ("dinov3-s16", "dinov3-s16 is a Eva; choose another model"),
    ],
)
def test_models_that_cannot_take_registers_are_refused(name, sentence):
    model = build_model(BY_NAME[name])
    with pytest.raises(ModelError, match=sentence) as caught:
        add_registers(model, torch.zeros(1, model.embed_dim), name)
    assert caught.value.exit_code == 4
