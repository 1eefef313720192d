"""What each choice of registers does to a model, and what it refuses."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import pytest

from lostreg.backbone import build_model
from lostreg.catalogue import BY_NAME, ModelEntry
from lostreg.errors import ModelError
from lostreg.registers.choice import RegisterChoice
from lostreg.registers.neuron_list import Neuron, NeuronList
from lostreg.registers.plan import plan_registers
from lostreg.weights import Weights

WITH, WITHOUT = "dinov2-s14-reg", "dinov2-s14"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path / "cache"))


def weights(name):
    entry = BY_NAME.get(name) or ModelEntry(name, name, "other", "none")
    return Weights(entry, Path("weights.safetensors"), "file:weights.safetensors", "a" * 64)


@functools.cache
def model(name):
    return build_model(weights(name).entry)


def plan(name, text):
    return plan_registers(None if text is None else RegisterChoice.parse(text), weights(name))


@pytest.mark.parametrize(("name", "text"), [(WITH, None), (WITHOUT, None), (WITH, "native"), (WITHOUT, "none")])
def test_a_model_that_is_what_was_asked_for_stays_as_it_is(name, text):
    made = plan(name, text)
    assert made.change(model(name)) is model(name)
    assert made.identity is None


def test_registers_that_a_model_does_not_have_are_refused():
    with pytest.raises(ModelError, match="dinov2-s14 was trained without registers") as caught:
        plan(WITHOUT, "native").change(model(WITHOUT))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("name", "instead"),
    [(WITH, "choose its twin without them, dinov2-s14,"), ("vit_small_patch16_dinov3", "choose a model without them")],
)
def test_trained_registers_are_not_taken_away(name, instead):
    with pytest.raises(ModelError, match=f"was trained with 4 registers, and removing them breaks it; {instead}"):
        plan(name, "none").change(model(name))


def test_test_time_registers_are_in_the_identity(tmp_path):
    path = tmp_path / "list.json"
    NeuronList(WITHOUT, (Neuron(3, 5), Neuron(3, 6))).write(path)
    made = plan(WITHOUT, f"test-time:{path}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert made.identity == {"kind": "test-time", "sha256": digest, "neurons": 2, "extra_tokens": 1}
    assert made.change(model(WITHOUT)).num_suffix_tokens == 1


def test_an_empty_list_changes_nothing_and_says_so(tmp_path):
    path = tmp_path / "list.json"
    NeuronList(WITHOUT, ()).write(path)
    made = plan(WITHOUT, f"test-time:{path}")
    assert made.change(model(WITHOUT)) is model(WITHOUT)
    assert (made.identity["neurons"], made.identity["extra_tokens"]) == (0, 0)


def test_a_model_without_a_known_list_is_refused():
    with pytest.raises(ModelError, match="lostreg registers find"):
        plan(WITHOUT, "test-time")
