"""Test-time registers against a literal re-derivation: one image, one neuron, one token at a time."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from lostreg.backbone import Backbone, build_model
from lostreg.catalogue import ModelEntry
from lostreg.errors import ModelError
from lostreg.geometry import Frame
from lostreg.registers.shift import ShiftToLast, add_test_time_register
from lostreg.settings import PARTS

FAMILIES = {  # timm id: what its MLPs are
    "vit_tiny_patch16_224": "GELU",
    "vit_small_patch14_reg4_dinov2": "GELU, layer scale, registers",
    "vit_small_patch16_dinov3": "rotary, registers",
    "vit_small_plus_patch16_dinov3": "rotary, SwiGLU",
    "eva02_tiny_patch14_224": "rotary, SwiGLU with a norm",
    "vit_small_patch16_rope_mixed_224": "rotary, an angle per block",
    "vit_base_patch16_siglip_224": "no prefix token",
    "vit_base_patch16_clip_224": "norm before the blocks",
}
GRID = (2, 3)
UNITS = {1: [5, 0, 17], 3: [2]}


@functools.cache
def timm_model(timm_id):
    torch.manual_seed(0)
    model = build_model(ModelEntry(timm_id, timm_id, "other", "none"))
    del model.blocks[4:]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def backbone(timm_id, units):
    entry = ModelEntry(timm_id, timm_id, "other", "none")
    return Backbone(entry, add_test_time_register(timm_model(timm_id), units, timm_id), torch.device("cpu"), "fp32")


def batch(vit, count=3):
    p = vit.spec.patch_size
    rows, columns = GRID
    frame = Frame((columns * p, rows * p), (columns * p, rows * p), GRID, p)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, rows * p, columns * p, generator=generator), [frame] * count


def shifted_by_hand(hidden, units):
    """Shift (B, T, H) as the paper's Alg. 2 says it, in plain loops."""
    out = hidden.clone()
    for image in range(hidden.shape[0]):
        for unit in units:
            column = [float(value) for value in hidden[image, :, unit]]
            strongest = max(column, key=abs)
            for token in range(len(column)):
                out[image, token, unit] = strongest if token == len(column) - 1 else 0.0
    return out


def test_the_shift_is_the_papers_per_neuron_and_per_image():
    hidden = torch.randn(3, 7, 10, generator=torch.Generator().manual_seed(2))
    units = [4, 1, 9]
    expected = shifted_by_hand(hidden, units)
    assert torch.equal(ShiftToLast(units)(hidden.clone()), expected)
    assert len({float(value) for value in expected[:, -1, units].flatten()}) == 9  # nine maxima, not one
    untouched = [unit for unit in range(10) if unit not in units]
    assert torch.equal(expected[..., untouched], hidden[..., untouched])


def forward_by_hand(model, inputs, units):
    """Run timm's own modules one by one with the token appended and the hidden units moved."""
    hooks = [
        model.blocks[block].mlp.norm.register_forward_pre_hook(
            lambda module, given, chosen=chosen: (shifted_by_hand(given[0], chosen),)
        )
        for block, chosen in units.items()
    ]
    with torch.inference_mode():
        embedded = model._pos_embed(model.patch_embed(inputs))
        tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        tokens = model.norm_pre(torch.cat([tokens, torch.zeros_like(tokens[:, :1])], dim=1))
        for index, block in enumerate(model.blocks):
            tokens = block(tokens) if rope is None else block(tokens, rope=unrotated(rope, index))
        tokens = model.norm(tokens)
    for hook in hooks:
        hook.remove()
    return tokens


def unrotated(rope, index):
    angles = rope[index] if rope.ndim == 4 else rope
    half = angles.shape[-1] // 2
    row = torch.tensor([0.0] * half + [1.0] * half).expand(*angles.shape[:-2], 1, -1)
    return torch.cat([angles, row], dim=-2)


@pytest.mark.parametrize("timm_id", FAMILIES)
def test_the_whole_forward_equals_the_one_by_hand(timm_id):
    vit = backbone(timm_id, UNITS)
    inputs, frames = batch(vit)
    expected = forward_by_hand(timm_model(timm_id), inputs, UNITS)
    first, count = vit.prefix_tokens, GRID[0] * GRID[1]
    assert expected.shape[1] == first + count + 1
    features = vit.extract(inputs, frames, frozenset(PARTS))
    for image, each in enumerate(features):
        torch.testing.assert_close(each.tokens["x"], expected[image, first : first + count], rtol=1e-4, atol=1e-5)
        assert all(values.shape[0] == count for values in each.tokens.values())
        assert each.attention.shape[::2] == (first + 1, count)


@pytest.mark.parametrize("timm_id", FAMILIES)
def test_a_batch_gives_what_each_image_gives_alone(timm_id):
    vit = backbone(timm_id, UNITS)
    inputs, frames = batch(vit)
    together = vit.extract(inputs, frames, frozenset(PARTS))
    for image, each in enumerate(together):
        alone = vit.extract(inputs[image : image + 1], frames[:1], frozenset(PARTS))[0]
        torch.testing.assert_close(each.attention, alone.attention, rtol=1e-4, atol=1e-6)
        for name, values in each.tokens.items():
            torch.testing.assert_close(values, alone.tokens[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("timm_id", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3"])
def test_attention_of_the_register_is_the_row_that_timm_computes(timm_id):
    """Attention times values, projected, must be what timm's own attention gives the last token."""
    from lostreg.tap import project

    vit = backbone(timm_id, UNITS)
    inputs, _ = batch(vit, 1)
    module = vit.model.blocks[-1].attn
    caught = {}
    hooks = [
        module.proj.register_forward_pre_hook(lambda m, i: caught.update(joined=i[0])),
        module.register_forward_pre_hook(lambda m, i: caught.update(x=i[0])),
    ]
    with torch.inference_mode():
        vit.model.forward_features(inputs)
    for hook in hooks:
        hook.remove()
    parts = vit._run(inputs, frozenset({"attention"}), vit.depth - 1)
    with torch.inference_mode():
        values = project(module, caught["x"], "v")
        mixed = module.norm(torch.einsum("bpht,bhtd->bphd", parts["attention"], values).flatten(2))
    rows = [*range(vit.prefix_tokens), -1]
    torch.testing.assert_close(mixed, caught["joined"][:, rows], rtol=1e-4, atol=1e-5)


def test_an_empty_list_changes_nothing():
    model = timm_model("vit_tiny_patch16_224")
    assert add_test_time_register(model, {}, "tiny") is model


def test_the_model_itself_stays_as_it_was():
    model = timm_model("vit_small_patch16_dinov3")
    vit = backbone("vit_small_patch16_dinov3", {})
    inputs, _ = batch(vit)
    with torch.inference_mode():
        before = model.forward_features(inputs)
        changed = add_test_time_register(model, UNITS, "small").forward_features(inputs)
        after = model.forward_features(inputs)
    assert torch.equal(before, after)
    assert changed.shape[1] == before.shape[1] + 1
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0


def test_the_register_is_counted():
    for timm_id, (prefix, registers) in {
        "vit_tiny_patch16_224": (1, 0),
        "vit_small_patch14_reg4_dinov2": (5, 4),
    }.items():
        for units, suffix in (({}, 0), (UNITS, 1)):
            vit = backbone(timm_id, units)
            assert (vit.prefix_tokens, vit.suffix_tokens, vit.registers) == (prefix, suffix, registers + suffix)


REFUSED = {
    "a block too far": ({4: [0]}, "blocks 0 to 3"),
    "a unit too far": ({1: [768]}, "units 0 to 767"),
}


@pytest.mark.parametrize(("units", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_neurons_that_are_not_there_are_refused(units, sentence):
    with pytest.raises(ModelError, match=sentence):
        add_test_time_register(timm_model("vit_tiny_patch16_224"), units, "vit_tiny_patch16_224")


def test_a_model_without_such_hidden_units_is_refused():
    model = build_model(ModelEntry("t", "vit_tiny_patch16_224", "other", "none"))
    model.blocks[1].mlp = nn.Linear(192, 192)
    with pytest.raises(ModelError, match=r"no hidden units .*its blocks hold Linear"):
        add_test_time_register(model, UNITS, "t")
