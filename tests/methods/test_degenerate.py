"""What every method answers where there is hardly anything to go by: all answers are stated in its docstring."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support import features_of

from lostreg.errors import FeatureError
from lostreg.features import Features
from lostreg.methods import METHODS as ALL
from lostreg.methods import get_method
from lostreg.regions import bounding_box
from lostreg.settings import MethodSettings

METHODS = [name for name in ALL if name != "fitted"]
"""Those that need no head; test_fitted.py has the other."""

ATTENTIVE = {"dino-seg", "attention-seed", "diffusion", "head-consensus"}
TWO_KINDS = np.repeat([[0.0, 1.0], [4.0, 0.0], [0.0, 1.0]], 2, axis=0)
"""On a grid of 3 rows and 2 columns: the middle row is unlike the others."""
ON_ONE = [[0.0, 0.0, 0.9, 0.0, 0.0, 0.0]]
EVEN = np.full((1, 6), 0.1)

CASES = {  # values, attention, grid: the box in patches by method, None where there is no object
    "one patch": (
        [[2.0]],
        [[0.5]],
        (1, 1),
        {"lost": (0, 0, 1, 1), "dino-seg": (0, 0, 1, 1), "whole-image": (0, 0, 1, 1)},
    ),
    "two patches": (
        [[2.0, 0.0], [0.0, 1.0]],
        [[0.5, 0.1]],
        (1, 2),
        {
            "lost": (0, 0, 1, 1),
            "dino-seg": (0, 0, 1, 1),
            "attention-seed": (0, 0, 1, 1),
            "diffusion": (0, 0, 1, 1),
            "head-consensus": (0, 0, 1, 1),
            "whole-image": (0, 0, 2, 1),
        },
    ),
    "equal features": (
        np.full((6, 3), 0.7),
        ON_ONE,
        (3, 2),
        {
            "lost": (0, 0, 2, 3),
            "dino-seg": (0, 1, 1, 2),
            "diffusion": (0, 1, 1, 2),
            "whole-image": (0, 0, 2, 3),
        },
    ),
    "features of zeros": (
        np.zeros((6, 3)),
        ON_ONE,
        (3, 2),
        {
            "lost": (0, 0, 1, 1),
            "dino-seg": (0, 1, 1, 2),
            "diffusion": (0, 1, 1, 2),
            "whole-image": (0, 0, 2, 3),
        },
    ),
    "no attention": (
        TWO_KINDS,
        np.zeros((2, 6)),
        (3, 2),
        {
            "lost": (0, 1, 2, 2),
            "tokencut": (0, 1, 2, 2),
            "maskcut": (0, 1, 2, 2),
            "whole-image": (0, 0, 2, 3),
        },
    ),
    "even attention": (
        TWO_KINDS,
        EVEN,
        (3, 2),
        {
            "lost": (0, 1, 2, 2),
            "dino-seg": (0, 1, 2, 3),
            "tokencut": (0, 1, 2, 2),
            "maskcut": (0, 1, 2, 2),
            "whole-image": (0, 0, 2, 3),
        },
    ),
    "every score negative": (
        # attended values shorter than the others: the direction points away from all of them
        [[1.0, 0.0]] + [[3.0, 0.0]] * 5,
        [[0.9, 0.0, 0.0, 0.0, 0.0, 0.0]],
        (3, 2),
        {
            "lost": (0, 0, 2, 3),
            "dino-seg": (0, 0, 1, 1),
            "diffusion": (0, 0, 1, 1),
            "whole-image": (0, 0, 2, 3),
        },
    ),
}


def answer(method, values, attention, grid_hw):
    features = features_of(values, grid_hw, "v", attention)
    settings = MethodSettings(method, feature="v", attention_head=0)
    proposal = get_method(method).propose(features, settings, np.ones(grid_hw, dtype=bool))
    return None if proposal is None else proposal.box_grid or bounding_box(proposal.region)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", METHODS)
def test_degenerate_input_has_the_stated_answer(method, case):
    values, attention, grid_hw, boxes = CASES[case]
    assert answer(method, values, attention, grid_hw) == boxes.get(method)


@pytest.mark.parametrize("size", [(1, 30), (30, 1), (27, 36)])
@pytest.mark.parametrize("method", ["attention-seed", "head-consensus"])
def test_equal_features_hold_no_object_whatever_rounding_makes_of_them(method, size):
    generator, count = np.random.default_rng(0), size[0] * size[1]
    for _ in range(10):
        values = np.tile(generator.normal(size=384) * 3, (count, 1))
        attention = generator.random((6, count)) ** 4
        assert answer(method, values, attention / attention.sum(), size) is None


@pytest.mark.parametrize("method", METHODS)
def test_no_free_patch_is_no_object(method):
    features = features_of(TWO_KINDS, (3, 2), "v", EVEN)
    settings = MethodSettings(method, feature="v", attention_head=0)
    assert get_method(method).propose(features, settings, np.zeros((3, 2), dtype=bool)) is None


@pytest.mark.parametrize("method", METHODS)
def test_a_method_asks_for_exactly_what_it_reads(method):
    needs = get_method(method).needs(MethodSettings(method, feature="q"))
    projections, attention = needs - {"attention"}, "attention" in needs
    assert attention == (method in ATTENTIVE)
    tokens = {name: torch.from_numpy(TWO_KINDS).float() for name in projections}
    heads = torch.tensor(EVEN, dtype=torch.float32)[None] if attention else None
    features = Features(features_of(TWO_KINDS, (3, 2)).frame, tokens, heads, class_token=True)
    settings = MethodSettings(method, feature="q", attention_head=0)
    get_method(method).propose(features, settings, np.ones((3, 2), dtype=bool))
    for name in projections:
        less = dataclasses.replace(features, tokens={})
        with pytest.raises(FeatureError, match=f"needs projection '{name}'"):
            get_method(method).propose(less, settings, np.ones((3, 2), dtype=bool))


@pytest.mark.parametrize("method", sorted(ATTENTIVE))
def test_models_without_a_class_token_are_told_what_works(method):
    features = dataclasses.replace(features_of(TWO_KINDS, (3, 2), "v", EVEN), class_token=False)
    settings = MethodSettings(method, attention_head=0)
    with pytest.raises(FeatureError, match="use --method lost or another model"):
        get_method(method).propose(features, settings, np.ones((3, 2), dtype=bool))


@pytest.mark.parametrize("method", sorted(ATTENTIVE - {"dino-seg"}))
def test_values_and_attention_that_are_not_finite_are_refused(method):
    broken = TWO_KINDS.copy()
    broken[3, 1] = np.inf
    free = np.ones((3, 2), dtype=bool)
    with pytest.raises(FeatureError, match="Projection 'v' holds values that are not finite"):
        get_method(method).propose(features_of(broken, (3, 2), "v", EVEN), MethodSettings(method), free)
    with pytest.raises(FeatureError, match="CLS attention holds values that are not finite"):
        get_method(method).propose(features_of(TWO_KINDS, (3, 2), "v", EVEN * np.nan), MethodSettings(method), free)
