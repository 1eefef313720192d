"""Head files: whole, checked, equal for equal heads; and what is said of those that are not."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest
import torch
from heads_by_hand import SHAPE, head_of
from safetensors.torch import load, save
from support import features_of

from lostreg.catalogue import OFFLINE_MODEL, OFFLINE_SHA256
from lostreg.errors import FeatureError, ModelError, WeightsError
from lostreg.heads import KINDS, SHIPPED, make_head, read_head, shipped_head, write_head


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_comes_back_as_it_was_written(kind, tmp_path):
    head, content = head_of(kind)
    write_head(tmp_path / "head.safetensors", content)
    again = read_head(tmp_path / "head.safetensors")
    assert (again.info, again.sha256) == (head.info, head.sha256)
    tokens = torch.randn(3, 4, 384)
    first, second = head.net.read(tokens), again.net.read(tokens)
    assert first.logit.shape == (12,)
    assert torch.equal(first.logit, second.logit)
    assert (first.boxes is None) == (first.score is None) == (kind == "logistic")
    if kind == "vote":
        boxes = torch.tensor([[0.0, 0.0, 2.0, 3.0], [1.0, 0.5, 4.0, 2.0]])
        assert torch.equal(first.score(boxes), second.score(boxes))


def test_equal_heads_are_equal_files_in_every_process():
    code = "from heads_by_hand import head_of; print(head_of('vote')[0].sha256)"
    paths = "import sys; sys.path.insert(0, 'tests'); "
    ran = [subprocess.check_output([sys.executable, "-c", paths + code], text=True) for _ in range(2)]
    assert {each.strip() for each in ran} == {head_of("vote")[0].sha256}
    assert head_of("vote", seed=1)[0].sha256 != head_of("vote")[0].sha256


def test_logits_of_a_logistic_head_are_the_scalar_product():
    head, _ = head_of("logistic", dim=3)
    values = torch.tensor([[3.0, 0.0, 4.0], [0.0, 2.0, 0.0]])
    weight, bias = head.net.weight.tolist(), float(head.net.bias)
    read = head.attach(features_of(values, (1, 2), "x")).head_reading()
    assert read.logit.tolist() == pytest.approx([0.6 * weight[0] + 0.8 * weight[2] + bias, weight[1] + bias])


def _without_metadata(content):
    return save(load(content))


DAMAGED = {
    "empty": (lambda content: b"", "not a whole safetensors file"),
    "cut": (lambda content: content[: len(content) // 2], "not a whole safetensors file"),
    "text": (lambda content: b"<html>", "not a whole safetensors file"),
    "some other file": (_without_metadata, "no head of `lostreg fit`"),
    "unknown kind": (lambda content: head_of("logistic", kind="magic")[1], "of kind 'magic'"),
    "wrong tensors": (lambda content: head_of("logistic", kind="vote", net=SHAPE)[1], "not those of its kind vote"),
    "no scorer": (lambda content: head_of("vote", net={"votes": SHAPE["votes"]})[1], "does not have: 'scorer'"),
    "one net": (lambda content: head_of("vote", net={"width": 16, "dilations": [1, 2]})[1], "does not have: 'votes'"),
    "unknown shape": (
        lambda content: head_of("vote", net=SHAPE | {"scorer": {"depth": 3}})[1],
        "does not have: .*depth",
    ),
    "wrong shape": (lambda content: head_of("vote", net=SHAPE | {"scorer": {"width": 16}})[1], "not those of its kind"),
    "impossible shape": (lambda content: head_of("vote", net=SHAPE | {"scorer": {"width": 9}})[1], "does not have: "),
    "negative shape": (lambda content: head_of("vote", net=SHAPE | {"scorer": {"axes": -9}})[1], "does not have: "),
    "wrong width": (lambda content: content.replace(rb"dim\": 384", rb"dim\": 385"), "not those of its kind"),
    "not finite": (lambda content: _broken(), "not finite"),
}


def _broken():
    head, _ = head_of("logistic")
    with torch.no_grad():
        head.net.bias.fill_(torch.inf)
    return make_head(head.info, head.net)[1]


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_heads_are_refused_in_a_sentence(case, tmp_path):
    spoil, said = DAMAGED[case]
    path = tmp_path / "head.safetensors"
    path.write_bytes(spoil(head_of("vote")[1]))
    with pytest.raises(WeightsError, match=said) as caught:
        read_head(path)
    assert "head" in str(caught.value)


def test_a_missing_head_says_how_to_make_one(tmp_path):
    with pytest.raises(WeightsError, match="make one with `lostreg fit`"):
        read_head(tmp_path / "nosuch.safetensors")


def test_a_head_refuses_other_weights_and_other_blocks():
    head, _ = head_of("vote")
    sha256 = head.info.weights_sha256
    head.check_fits("dinov2-s14-imgfocus", sha256, 11)
    with pytest.raises(ModelError, match=r"fitted on dinov2-s14-imgfocus .* not on dino-s16 .*use --model") as caught:
        head.check_fits("dino-s16", "0" * 64, 11)
    assert caught.value.exit_code == 4
    with pytest.raises(ModelError, match="block 11 of dinov2-s14-imgfocus, not on block 10; use --layer 11"):
        head.check_fits("dinov2-s14-imgfocus", sha256, 10)
    with pytest.raises(ModelError, match="with registers native, not with test-time"):
        head.check_fits("dinov2-s14-imgfocus", sha256, 11, "test-time")


@pytest.mark.parametrize("weights_sha256", SHIPPED)
def test_shipped_heads_are_small_and_say_what_they_saw(weights_sha256):
    name = SHIPPED[weights_sha256]
    data = files("lostreg").joinpath("data")
    assert len(data.joinpath(name).read_bytes()) < 3_000_000
    head = shipped_head("any", weights_sha256)
    assert head.info.weights_sha256 == weights_sha256
    assert head.info.provenance["counts"]["fitted"] > 1000
    assert head.sha256 in data.joinpath("README.md").read_text()


def test_the_offline_model_has_a_head_for_its_last_block():
    shipped_head(OFFLINE_MODEL, OFFLINE_SHA256).check_fits(OFFLINE_MODEL, OFFLINE_SHA256, 11)


def test_no_head_ships_for_unknown_weights():
    with pytest.raises(ModelError, match="No fitted head comes with lostreg for dino-s16"):
        shipped_head("dino-s16", "0" * 64)


def test_tokens_that_were_not_extracted_are_named():
    with pytest.raises(FeatureError, match="needs projection 'x'"):
        head_of("vote")[0].attach(features_of(torch.ones(2, 384), (1, 2), "v"))
