"""Register neurons that were planted are found, and moving them mends the model; with the real ViT."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from planting import fired, plant

from lostreg.backbone import Backbone, build_model
from lostreg.catalogue import ModelEntry
from lostreg.errors import ModelError
from lostreg.geometry import Frame
from lostreg.images import read_photograph
from lostreg.registers.find import Search, find_register_neurons
from lostreg.registers.inspection import inspect_pictures, outliers_of, summarise
from lostreg.registers.shift import add_test_time_register


@pytest.fixture(scope="module")
def prepared(discoverer, examples):
    """Four of the shipped photographs, small."""
    small = copy.copy(discoverer)
    small.input_settings = type(discoverer.input_settings)(max_side=280)
    return [small.prepare(read_photograph(path)) for path in examples[:4]]


@pytest.fixture(scope="module")
def planted(discoverer, prepared):
    """Return the planted ViT and the units."""
    model = copy.deepcopy(discoverer.backbone.model)
    units = plant(model, [inputs for inputs, _ in prepared])
    return wrapped(discoverer, model), units


def wrapped(discoverer, model):
    stock = discoverer.backbone
    return Backbone(stock.entry, model, stock.device, stock.precision)


def look(backbone, prepared):
    return [inspect_pictures(backbone, inputs[None], [frame])[0] for inputs, frame in prepared]


def loads(prepared):
    return [functools.partial(lambda each: each, each) for each in prepared]


@pytest.mark.weights
def test_inspection_finds_where_outliers_were_planted_and_their_block(planted, prepared):
    backbone, units = planted
    seen = look(backbone, prepared)
    summary = summarise(seen)
    truth = np.concatenate([fired(backbone.model, units, inputs) for inputs, _ in prepared])
    found = np.concatenate(outliers_of(seen, summary.reference_layer, summary.threshold))
    assert 0.01 < truth.mean() < 0.05
    assert found[truth].mean() >= 0.95
    assert truth[found].mean() >= 0.95
    assert summary.appears == max(units)
    assert summary.neighbour_cosine[0] > summary.neighbour_cosine[1] + 0.1  # they hold little information


@pytest.mark.weights
def test_the_edited_units_are_found_and_moving_them_takes_the_outliers_away(discoverer, planted, prepared):
    backbone, units = planted
    edited = {(block, unit) for block, each in units.items() for unit in each}
    found = find_register_neurons(backbone, loads(prepared), Search(top_k=len(edited)))
    recovered = edited & {(each.block, each.unit) for each in found.neurons}
    assert len(recovered) >= 0.9 * len(edited)
    assert found.top_layer == max(units)
    assert found.left == 0
    automatic = find_register_neurons(backbone, loads(prepared), Search())
    assert automatic.left <= 0.1
    mended = wrapped(discoverer, add_test_time_register(backbone.model, units, "planted"))
    before, after = (summarise(look(each, prepared)) for each in (backbone, mended))
    assert before.pictures_with_outliers > 0
    assert after.pictures_with_outliers == 0


@pytest.mark.weights
def test_a_model_without_outliers_has_no_register_neurons(discoverer, prepared):
    found = find_register_neurons(discoverer.backbone, loads(prepared), Search())
    assert found.neurons == ()
    assert (found.images, found.images_with_outliers, found.outlier_share) == (4, 0, 0.0)
    changed = add_test_time_register(discoverer.backbone.model, {}, "stock")
    inputs, frame = prepared[0]
    for name in ("k", "v", "x"):
        before, after = (
            each.extract(inputs[None], [frame], frozenset({name}))[0].tokens[name]
            for each in (discoverer.backbone, wrapped(discoverer, changed))
        )
        assert torch.equal(before, after)


def test_scores_are_mean_activations_at_outliers():
    """Against hooks and plain means on a small random ViT, with a threshold chosen by hand."""
    torch.manual_seed(0)
    entry = ModelEntry("t", "vit_tiny_patch16_224", "other", "none")
    model = build_model(entry)
    del model.blocks[4:]
    backbone = Backbone(entry, model, torch.device("cpu"), "fp32")
    frame = Frame((64, 48), (64, 48), (3, 4), 16)
    pictures = [(torch.randn(3, 48, 64, generator=torch.Generator().manual_seed(n)), frame) for n in range(3)]
    norms = [each.norms[2] for each in look(backbone, pictures)]
    threshold = float(np.sort(np.concatenate(norms))[-6])
    found = find_register_neurons(backbone, loads(pictures), Search(threshold, top_layer=1, top_k=2000))
    hidden = [[], []]
    for block in (0, 1):
        model.blocks[block].mlp.act.register_forward_hook(lambda m, i, o, block=block: hidden[block].append(o[0]))
    with torch.inference_mode():
        for inputs, _ in pictures:
            model.forward_features(inputs[None])
    masks = [each > threshold for each in norms]
    assert found.images_with_outliers == sum(bool(each.any()) for each in masks)
    for neuron in found.neurons[:: len(found.neurons) // 20]:
        means = [
            np.mean([abs(float(hidden[neuron.block][n][1 + token, neuron.unit])) for token in np.flatnonzero(mask)])
            for n, mask in enumerate(masks)
            if mask.any()
        ]
        assert neuron.score == pytest.approx(np.mean(means), abs=1e-4)
    scores = [each.score for each in found.neurons]
    assert scores == sorted(scores, reverse=True)


def test_a_model_without_such_hidden_units_is_refused():
    entry = ModelEntry("t", "vit_tiny_patch16_224", "other", "none")
    model = build_model(entry)
    del model.blocks[3:]
    model.blocks[0].mlp = torch.nn.Linear(192, 192)
    backbone = Backbone(entry, model, torch.device("cpu"), "fp32")
    picture = (torch.randn(3, 32, 32), Frame((32, 32), (32, 32), (2, 2), 16))
    with pytest.raises(ModelError, match="no hidden units"):
        find_register_neurons(backbone, loads([picture]), Search(absolute=0.0))
