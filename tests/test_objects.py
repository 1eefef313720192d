"""Several objects, settings, and the two baselines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import features_of

from lostreg.errors import FeatureError, UsageError
from lostreg.methods import get_method
from lostreg.methods.dino_seg import mass_mask
from lostreg.objects import AUTO_MOST, find_objects
from lostreg.settings import MethodSettings, fingerprint, parse_k_patches, parse_objects, with_overrides


def two_squares():
    """Return features of a map on which two unlike squares lie on a large uniform ground."""
    grid = np.zeros((10, 12), dtype=int)
    grid[1:4, 1:4] = 1
    grid[6:9, 7:10] = 2
    vectors = np.array([[-1, -1, 3], [4, -1, -1], [-1, 4, -1]], dtype=float)
    return features_of(vectors[grid.ravel()], grid.shape), grid


def test_two_drawn_objects_are_found_one_after_the_other():
    features, grid = two_squares()
    found = find_objects(features, MethodSettings(objects=2))
    assert [each.proposal.region.sum() for each in found] == [9, 9]
    assert {int(grid[each.proposal.region].max()) for each in found} == {1, 2}
    assert all(each.score > 0.5 for each in found)


def test_a_count_is_an_upper_bound():
    features, _ = two_squares()
    assert len(find_objects(features, MethodSettings(objects=1))) == 1
    many = find_objects(features, MethodSettings(objects=50))
    assert sum(each.proposal.region for each in many).max() == 1
    assert len(many) == 3  # the two squares, then the ground that is left


@pytest.mark.parametrize("objects", [1, 2])
def test_no_more_is_proposed_than_asked_for(objects, monkeypatch):
    asked, lost = [], get_method("lost")

    def propose(features, settings, free):
        asked.append(int(free.sum()))
        return lost.propose(features, settings, free)

    monkeypatch.setattr("lostreg.objects.get_method", lambda name: replace(lost, propose=propose))
    find_objects(two_squares()[0], MethodSettings(objects=objects))
    assert asked == [120, 111][:objects]


def test_auto_keeps_what_stands_out_and_stops():
    features, _ = two_squares()
    assert [each.proposal.region.sum() for each in find_objects(features, MethodSettings(objects="auto"))] == [9, 9]
    noise = np.random.default_rng(0).normal(size=(400, 8))
    assert 1 <= len(find_objects(features_of(noise, (20, 20)), MethodSettings(objects="auto"))) <= AUTO_MOST


def test_whole_image_is_found_once():
    assert len(find_objects(features_of(np.ones((6, 2)), (2, 3)), MethodSettings("whole-image", objects=5))) == 1


def test_dino_seg_keeps_the_top_mass_of_one_head_and_its_biggest_blob():
    attention = np.zeros((2, 12))
    attention[1] = [0.24, 0.24, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.25, 0.01, 0.01, 0.01]
    features = features_of(np.zeros((12, 2)), (3, 4), attention=attention)
    found = find_objects(features, MethodSettings("dino-seg", attention_head=1))[0].proposal
    assert np.argwhere(found.region).tolist() == [[0, 0], [0, 1]]
    with pytest.raises(UsageError, match="below the model's number of heads, 2"):
        find_objects(features, MethodSettings("dino-seg", attention_head=2))
    assert find_objects(features, MethodSettings("dino-seg", attention_head=0)) == []


def test_top_mass_equals_its_definition_by_sorting():
    generator = np.random.default_rng(0)
    for _ in range(100):
        values = generator.random(int(generator.integers(1, 40)))
        order, total = sorted(range(len(values)), key=lambda i: values[i]), 0.0
        kept = set()
        for i in order:  # ascending: a patch is kept once what lies at or below it exceeds 40 % of the mass
            total += values[i]
            if total / values.sum() > 0.4:
                kept.add(i)
        assert set(np.flatnonzero(mass_mask(torch.tensor(values), 0.6))) == kept


def test_missing_attention_is_a_sentence():
    with pytest.raises(FeatureError, match="CLS attention"):
        find_objects(features_of(np.ones((4, 2)), (2, 2)), MethodSettings("dino-seg"))


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="--method must be one of lost"):
        find_objects(features_of(np.ones((4, 2)), (2, 2)), MethodSettings("nosuch"))


K_PATCHES = [("100", 100), ("0.1", 0.1), ("1", 1), ("1.0", 1.0), ("x", UsageError), ("", UsageError)]


@pytest.mark.parametrize(("text", "value"), K_PATCHES)
def test_k_patches_are_a_count_or_a_fraction(text, value):
    if value is UsageError:
        with pytest.raises(UsageError):
            parse_k_patches(text)
    else:
        assert parse_k_patches(text) == value
        assert type(parse_k_patches(text)) is type(value)


@pytest.mark.parametrize(
    ("k", "patches", "count"), [(100, 40, 40), (100, 900, 100), (0.1, 900, 90), (1.0, 7, 7), (0.01, 5, 1)]
)
def test_fractions_are_of_all_patches(k, patches, count):
    assert MethodSettings(k_patches=k).count_patches(patches) == count


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("3", 3), ("-1", UsageError), ("many", UsageError)])
def test_objects_are_a_number_or_auto(text, value):
    if value is UsageError:
        with pytest.raises(UsageError):
            parse_objects(text)
    else:
        assert parse_objects(text) == value


def test_settings_survive_json_and_fingerprints_tell_them_apart():
    settings = with_overrides(MethodSettings(), offset="q0.25", k_patches=0.1, objects="auto", feature=None)
    assert MethodSettings.from_json(settings.to_json()) == settings
    assert fingerprint(settings.to_json()) == fingerprint(dict(reversed(settings.to_json().items())))
    assert fingerprint(settings.to_json()) != fingerprint(MethodSettings().to_json())
