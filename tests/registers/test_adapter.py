"""Adapter files: what was trained comes back, and lands on its own backbone only."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from small_vits import small_backbone, small_vit, weights_of

from lostreg.errors import ModelError, WeightsError
from lostreg.registers.adapter import Adapter, apply_adapter, check_adapter, read_adapter, write_adapter
from lostreg.registers.added import add_registers, random_registers, trainable
from lostreg.registers.choice import RegisterChoice
from lostreg.registers.plan import plan_registers

INPUTS = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(4))


def trained(model):
    """Return a student whose weights have moved, to numbers that half precision holds."""
    student = add_registers(model, random_registers(3, 192, 0), "small")
    with torch.no_grad():
        for values in trainable(student).values():
            values.copy_((values + 0.03).half().float())
    return student


def adapter_of(student, **facts):
    tensors = {name: values.detach() for name, values in trainable(student).items()}
    return Adapter(tensors, "small", "a" * 64, facts)


def test_a_written_adapter_makes_the_student_out_of_the_stock_model(tmp_path):
    model = small_vit()
    student = trained(model)
    write_adapter(tmp_path / "a.safetensors", adapter_of(student, pictures=7))
    read = read_adapter(tmp_path / "a.safetensors")
    assert (read.model, read.weights_sha256, read.facts, read.registers) == ("small", "a" * 64, {"pictures": 7}, 3)
    again = apply_adapter(small_vit(), read, "small")
    with torch.inference_mode():
        assert torch.equal(again.forward_features(INPUTS), student.forward_features(INPUTS))
        assert not torch.equal(again.forward_features(INPUTS)[:, 4:], model.forward_features(INPUTS)[:, 1:])


def test_the_stock_model_is_left_alone(tmp_path):
    model, untouched = small_vit(), small_vit()
    apply_adapter(model, adapter_of(trained(small_vit())), "small")
    for (name, values), other in zip(model.named_parameters(), untouched.parameters(), strict=True):
        assert torch.equal(values, other), name


def test_an_adapter_is_chosen_by_its_file(tmp_path):
    path = tmp_path / "a.safetensors"
    backbone = small_backbone()
    write_adapter(path, adapter_of(trained(backbone.model)))
    plan = plan_registers(RegisterChoice.parse(str(path)), weights_of(backbone))
    assert plan.change(backbone.model).num_prefix_tokens == 4
    assert plan.identity == {"kind": "adapter", "sha256": read_adapter(path).sha256, "extra_tokens": 3}


def test_an_adapter_of_another_backbone_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    backbone = small_backbone()
    write_adapter(path, adapter_of(trained(backbone.model)))
    with pytest.raises(
        WeightsError, match=r"a.safetensors was trained on small with weights aaaaaaaaaaaa…, but"
    ) as caught:
        check_adapter(read_adapter(path), weights_of(backbone, "b" * 64), path.name)
    assert caught.value.exit_code == 4
    with pytest.raises(WeightsError, match="but this is small with bbbbbbbbbbbb…; name that model or distil"):
        plan_registers(RegisterChoice.parse(str(path)), weights_of(backbone, "b" * 64))


def test_tensors_that_do_not_fit_are_refused_by_name():
    adapter = adapter_of(trained(small_vit()))
    short = {**adapter.tensors, "pos_embed": adapter.tensors["pos_embed"][:, :-1]}
    with pytest.raises(WeightsError, match=r"expected pos_embed of shape \(1, 196, 192\), found \(1, 195, 192\)"):
        apply_adapter(small_vit(), Adapter(short, "small", "a" * 64), "small")
    foreign = {**adapter.tensors, "norm.weight": torch.ones(192)}
    with pytest.raises(WeightsError, match=r"expected norm.weight of shape none, found \(192,\)"):
        apply_adapter(small_vit(), Adapter(foreign, "small", "a" * 64), "small")


def test_other_files_are_no_adapters(tmp_path):
    with pytest.raises(WeightsError, match="No checkpoint file"):
        read_adapter(tmp_path / "none.safetensors")
    save_file({"reg_token": torch.zeros(1, 2, 3)}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match=r"plain.safetensors is not an adapter: expected a file that `lostreg"):
        read_adapter(tmp_path / "plain.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00")
    with pytest.raises(WeightsError, match=r"cut.safetensors is not a whole safetensors file"):
        read_adapter(tmp_path / "cut.safetensors")


def test_a_model_with_registers_takes_no_adapter():
    with pytest.raises(ModelError, match="was trained with 4 registers already"):
        apply_adapter(small_vit("vit_small_patch14_reg4_dinov2"), adapter_of(trained(small_vit())), "reg")
