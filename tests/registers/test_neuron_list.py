"""Lists of register neurons: the published one, those of one's own, and those of somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lostreg.catalogue import BY_NAME, ENTRIES
from lostreg.errors import ModelError, WeightsError
from lostreg.registers.neuron_list import Neuron, NeuronList, cache_path, list_for
from lostreg.weights import Weights

OWN = NeuronList("dinov2-s14", (Neuron(5, 7, 3.5), Neuron(4, 0, 1.0), Neuron(5, 2, 0.5)), "a" * 64, images=3)


def weights(name="dinov2-s14", sha256="a" * 64):
    return Weights(BY_NAME[name], Path("weights.safetensors"), "file:weights.safetensors", sha256)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path / "cache"))


def test_the_published_list_ships():
    found, _ = list_for(weights("dinov2-l14", "b" * 64))
    units = found.by_block()
    assert {block: len(each) for block, each in units.items()} == {12: 1, 13: 1, 14: 8, 15: 9, 16: 9, 17: 17}
    assert units[17][:7] == [884, 133, 1427, 3464, 2373, 2436, 841]
    assert len(found.neurons) == 45
    assert max(max(each) for each in units.values()) < 4096


def test_every_shipped_list_is_of_a_model_of_the_catalogue():
    folder = Path(__import__("lostreg").__file__).parent / "data" / "registers"
    assert {path.stem for path in folder.iterdir()} <= {entry.name for entry in ENTRIES}


def test_a_list_comes_back_as_it_was(tmp_path):
    OWN.write(tmp_path / "list.json")
    found, digest = list_for(weights(), tmp_path / "list.json")
    assert found == OWN
    assert len(digest) == 64
    assert found.by_block() == {5: [7, 2], 4: [0]}


def test_a_list_of_ones_own_goes_before_the_shipped_one():
    own = NeuronList("dinov2-l14", (), "c" * 64)
    own.write(cache_path(weights("dinov2-l14", "c" * 64)))
    assert list_for(weights("dinov2-l14", "c" * 64))[0] == own
    assert len(list_for(weights("dinov2-l14", "d" * 64))[0].neurons) == 45


def test_a_model_without_a_list_is_told_how_to_make_one():
    with pytest.raises(ModelError, match="lostreg registers find --model dinov2-s14 IMAGES"):
        list_for(weights())


@pytest.mark.parametrize("other", [weights("dinov2-b14"), weights("dinov2-s14", "b" * 64)])
def test_the_list_of_another_model_is_refused(other, tmp_path):
    OWN.write(tmp_path / "list.json")
    with pytest.raises(WeightsError, match="dinov2-s14") as caught:
        list_for(other, tmp_path / "list.json")
    assert caught.value.exit_code == 4


GOOD = {"format": 1, "model": "dinov2-s14", "neurons": [{"block": 1, "unit": 2}]}
DAMAGED = {
    "cut": json.dumps(GOOD)[:-5],
    "no object": "[]",
    "another format": json.dumps(GOOD | {"format": 2}),
    "no neurons": json.dumps({"format": 1, "model": "dinov2-s14"}),
    "no model": json.dumps({"format": 1, "neurons": []}),
    "unknown field": json.dumps(GOOD | {"colour": "red"}),
    "negative unit": json.dumps(GOOD | {"neurons": [{"block": 1, "unit": -1}]}),
    "unit of text": json.dumps(GOOD | {"neurons": [{"block": 1, "unit": "2"}]}),
    "neuron without unit": json.dumps(GOOD | {"neurons": [{"block": 1}]}),
    "not text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_list_is_refused(content, tmp_path):
    path = tmp_path / "list.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(WeightsError, match="not a list of register neurons"):
        list_for(weights(), path)


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="Cannot read the neuron list"):
        list_for(weights(), tmp_path / "none.json")
