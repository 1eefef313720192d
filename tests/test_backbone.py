"""Backbones of every family, randomly initialised: the right rows, the right tokens, nothing else."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from lostreg import Discoverer
from lostreg.backbone import Backbone, build_model, load_weights
from lostreg.catalogue import BY_NAME, ModelEntry
from lostreg.cli import main
from lostreg.errors import FeatureError, ModelError, UsageError, WeightsError
from lostreg.geometry import Frame
from lostreg.settings import PARTS

FAMILIES = {  # timm id: prefix tokens, of which CLS
    "vit_tiny_patch16_224": (1, True),
    "vit_small_patch14_dinov2": (1, True),
    "vit_small_patch14_reg4_dinov2": (5, True),
    "vit_small_patch16_dinov3": (5, True),
    "vit_small_patch16_dinov3_qkvb": (5, True),
    "deit3_small_patch16_224": (1, True),
    "vit_medium_patch16_reg4_gap_256": (4, False),
    "vit_base_patch16_siglip_224": (0, False),
    "eva02_tiny_patch14_224": (1, True),
    "vit_pe_core_tiny_patch16_384": (1, True),
    "vit_small_patch16_rope_mixed_224": (1, True),
}
GRID = (3, 4)


@functools.cache
def backbone(timm_id):
    torch.manual_seed(0)
    entry = ModelEntry(timm_id, timm_id, "other", "none")
    model = build_model(entry)
    with torch.no_grad():  # biases start at zero in most models; what is zero cannot be seen to be used
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return Backbone(entry, model, torch.device("cpu"), "fp32")


def batch(vit, count=2):
    p = vit.spec.patch_size
    rows, columns = GRID
    frame = Frame((columns * p, rows * p), (columns * p, rows * p), GRID, p)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, rows * p, columns * p, generator=generator), [frame] * count


def seen_by_timm(vit, inputs):
    """Return timm's own keys (through k_norm), queries and attention inputs of the last block, and the output."""
    caught = {}
    attention = vit.model.blocks[-1].attn
    hooks = [
        attention.k_norm.register_forward_hook(lambda m, i, o: caught.update(k=o)),
        attention.q_norm.register_forward_hook(lambda m, i, o: caught.update(q=o)),
        attention.register_forward_pre_hook(lambda m, i: caught.update(x=i[0])),
    ]
    with torch.inference_mode():
        caught["out"] = vit.model.forward_features(inputs)
    for hook in hooks:
        hook.remove()
    return caught


@pytest.mark.parametrize("timm_id", FAMILIES)
def test_keys_queries_and_tokens_equal_what_timm_computes(timm_id):
    vit = backbone(timm_id)
    prefix, class_token = FAMILIES[timm_id]
    inputs, frames = batch(vit)
    features = vit.extract(inputs, frames, frozenset({"k", "q", "v", "x"}))
    seen = seen_by_timm(vit, inputs)
    assert (vit.prefix_tokens, vit.class_token) == (prefix, class_token)
    for name in ("k", "q"):
        expected = seen[name].transpose(1, 2).flatten(2)[:, prefix:]
        for i in (0, 1):
            torch.testing.assert_close(features[i].tokens[name], expected[i])
    torch.testing.assert_close(features[1].tokens["x"], seen["out"][1, prefix:])
    assert all(values.shape[0] == GRID[0] * GRID[1] for values in features[0].tokens.values())


@pytest.mark.parametrize("timm_id", FAMILIES)
@pytest.mark.parametrize("layer", [0, -1])
def test_norms_are_those_of_the_tokens_before_the_final_norm(timm_id, layer):
    vit = backbone(timm_id)
    inputs, frames = batch(vit)
    caught = {}
    hook = vit.model.blocks[layer].register_forward_hook(lambda m, i, o: caught.update(out=o))
    with torch.inference_mode():
        vit.model.forward_features(inputs)
    hook.remove()
    together = vit.extract(inputs, frames, frozenset({"x", "norms"}), layer)
    alone = vit.extract(inputs, frames, frozenset({"norms"}), layer)
    for i in (0, 1):
        expected = caught["out"][i, vit.prefix_tokens :].square().sum(dim=1).sqrt()
        torch.testing.assert_close(together[i].norms, expected)
        assert torch.equal(alone[i].norms, together[i].norms)
        assert alone[i].tokens == {}


@pytest.mark.parametrize("timm_id", [name for name, (prefix, _) in FAMILIES.items() if prefix])
def test_values_and_attention_rebuild_the_block_output_of_the_prefix_tokens(timm_id):
    """Attention times values, projected, must be what timm's own attention gives those tokens."""
    vit = backbone(timm_id)
    inputs, _ = batch(vit, 1)
    seen = seen_by_timm(vit, inputs)
    module = vit.model.blocks[-1].attn
    caught = {}
    hook = module.proj.register_forward_pre_hook(lambda m, i: caught.update(joined=i[0]))
    with torch.inference_mode():
        vit.model.forward_features(inputs)
    hook.remove()
    from lostreg.tap import project

    parts = vit._run(inputs, frozenset({"attention"}), vit.depth - 1)
    with torch.inference_mode():
        values = project(module, seen["x"], "v")
        mixed = torch.einsum("bpht,bhtd->bphd", parts["attention"], values).flatten(2)
        rebuilt = module.norm(mixed)
    torch.testing.assert_close(rebuilt, caught["joined"][:, : vit.prefix_tokens], rtol=1e-4, atol=1e-5)


def test_attention_rows_sum_to_at_most_one_and_belong_to_the_patches():
    features = backbone("vit_small_patch14_reg4_dinov2").extract(
        *batch(backbone("vit_small_patch14_reg4_dinov2"), 1), frozenset({"attention"})
    )[0]
    assert features.attention.shape == (5, 6, 12)
    sums = features.attention.sum(dim=-1)
    assert bool((sums > 0).all())
    assert bool((sums < 1).all())


def test_a_model_without_cls_refuses_its_attention_in_a_sentence():
    for timm_id in ("vit_medium_patch16_reg4_gap_256", "vit_base_patch16_siglip_224"):
        vit = backbone(timm_id)
        features = vit.extract(*batch(vit, 1), frozenset({"attention"}))[0]
        with pytest.raises(FeatureError, match="CLS"):
            features.class_attention()


@pytest.mark.parametrize("layer", [0, 5, -1, -12])
def test_any_block_can_be_read_and_later_ones_do_not_run(layer):
    vit = backbone("vit_tiny_patch16_224")
    inputs, frames = batch(vit, 1)
    ran = []
    hooks = [b.register_forward_hook(lambda m, i, o, n=n: ran.append(n)) for n, b in enumerate(vit.model.blocks)]
    features = vit.extract(inputs, frames, frozenset({"k"}), layer)[0]
    for hook in hooks:
        hook.remove()
    assert ran == list(range(layer % 12))
    caught = {}
    hook = vit.model.blocks[layer].attn.k_norm.register_forward_hook(lambda m, i, o: caught.update(k=o))
    with torch.inference_mode():
        vit.model.forward_features(inputs)
    hook.remove()
    torch.testing.assert_close(features.tokens["k"], caught["k"].transpose(1, 2).flatten(2)[0, 1:])


def test_extraction_leaves_the_model_as_it_was():
    vit = backbone("vit_tiny_patch16_224")
    inputs, frames = batch(vit, 1)
    with torch.inference_mode():
        before = vit.model.forward_features(inputs)
    for _ in range(3):
        vit.extract(inputs, frames, frozenset(PARTS))
    with torch.inference_mode():
        after = vit.model.forward_features(inputs)
    assert torch.equal(before, after)
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in vit.model.modules()) == 0


def test_nothing_asked_for_runs_nothing():
    vit = backbone("vit_tiny_patch16_224")
    inputs, frames = batch(vit, 1)
    hook = vit.model.patch_embed.register_forward_hook(lambda m, i, o: pytest.fail("the ViT ran"))
    assert vit.extract(inputs, frames, frozenset())[0].tokens == {}
    hook.remove()


REFUSED = ["resnet18", "swin_tiny_patch4_window7_224", "beit_base_patch16_224", "vit_small_patch16_18x2_224"]


@pytest.mark.parametrize("timm_id", REFUSED)
def test_models_without_patch_keys_are_refused_in_a_sentence(timm_id):
    with pytest.raises(ModelError, match=r"no patch keys to read(?!.*None)"):
        build_model(ModelEntry(timm_id, timm_id, "other", "none"))


@pytest.mark.parametrize("timm_id", REFUSED)
def test_they_are_refused_before_their_weights_are_fetched(timm_id, monkeypatch):
    monkeypatch.setattr("lostreg.weights.hub.fetch", lambda *given: pytest.fail("the weights were fetched"))
    with pytest.raises(ModelError, match="no patch keys to read"):
        Discoverer(timm_id)
    assert main(["models", "fetch", timm_id]) == 4


def test_a_block_that_does_not_exist_is_refused():
    vit = backbone("vit_tiny_patch16_224")
    with pytest.raises(UsageError, match="--layer must be from -12 to 11"):
        vit.extract(*batch(vit, 1), frozenset({"k"}), 12)


def test_foreign_weights_are_refused():
    entry = BY_NAME["dinov2-s14"]
    model = build_model(entry)
    state = {name: values.clone() for name, values in model.state_dict().items()}
    load_weights(model, entry, state, "own.safetensors")
    fewer = {name: values for name, values in state.items() if "blocks.11." not in name}
    more = state | {"blocks.99.norm1.weight": torch.ones(384)}
    other = {name: nn.functional.pad(v, (0, 1)) if name == "norm.weight" else v for name, v in state.items()}
    for wrong in (fewer, more, other, {"weight": torch.ones(3)}):
        with pytest.raises(WeightsError, match="does not hold the weights of dinov2-s14"):
            load_weights(build_model(entry), entry, wrong, "foreign.safetensors")


def test_metas_register_checkpoint_layout_is_converted():
    """Meta's files say register_tokens and keep a position for CLS; timm folds it into the CLS token."""
    entry = BY_NAME["dinov2-s14-reg"]
    model = build_model(entry)
    state = {name: values.clone() for name, values in model.state_dict().items()}
    published = {name: values for name, values in state.items() if name not in {"reg_token", "pos_embed", "cls_token"}}
    cls_row = torch.full((1, 1, 384), 0.25)
    published["register_tokens"] = state["reg_token"]
    published["cls_token"] = state["cls_token"] - cls_row
    published["pos_embed"] = torch.cat([cls_row, state["pos_embed"]], dim=1)
    published["mask_token"] = torch.zeros(1, 384)
    fresh = build_model(entry)
    load_weights(fresh, entry, published, "dinov2_vits14_reg4_pretrain.pth")
    for name, values in fresh.state_dict().items():
        torch.testing.assert_close(values, state[name], msg=name)
