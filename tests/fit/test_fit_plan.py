"""The stages of a fit and what is refused before any is begun."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fit_by_hand import picture_of

from lostreg.chart import loss_chart
from lostreg.errors import UsageError
from lostreg.fit.holdout import Known, consensus_box, head_box, held_out_report
from lostreg.fit.parts import check_enough, split, spread
from lostreg.fit.plan import FitPlan
from lostreg.heads.nets import LogisticNet


def pictures(count, standing_out=True):
    return [picture_of(np.full((3, 4), standing_out)) for _ in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_few_pictures_are_refused_with_the_least_number(count):
    with pytest.raises(UsageError, match=f"at least 10 distinct pictures, but there are {count}"):
        check_enough(pictures(count))


def test_pictures_in_which_nothing_stands_out_are_refused():
    with pytest.raises(UsageError, match="Nothing stands out in any of these 12 pictures"):
        check_enough(pictures(12, standing_out=False))
    check_enough([*pictures(9, standing_out=False), *pictures(1)])


@pytest.mark.parametrize(("given", "said"), [({"seed": -1}, "--seed"), ({"epochs": 0}, "--epochs must be at least 1")])
def test_nonsense_is_refused(given, said):
    with pytest.raises(UsageError, match=said):
        FitPlan(**given)


@pytest.mark.parametrize(
    ("given", "photographs", "composites"), [(None, 40, 80), (None, 9000, 1600), (0, 40, 0), (7, 40, 7)]
)
def test_the_number_of_composites(given, photographs, composites):
    assert FitPlan(composites=given).count_composites(photographs) == composites


@pytest.mark.parametrize(("count", "most", "kept"), [(0, 3, []), (2, 3, [0, 1]), (3, 3, [0, 1, 2]), (7, 3, [0, 2, 4])])
def test_photographs_are_spread_evenly(count, most, kept):
    assert spread(count, most) == kept


@pytest.mark.parametrize(("count", "held"), [(10, 1), (100, 5), (3000, 100)])
def test_some_pictures_are_held_out_by_the_seed(count, held):
    all_of_them = list(range(count))
    kept, drawn = split(all_of_them, 0)
    assert len(drawn) == held
    assert sorted(kept + drawn) == all_of_them
    assert kept == sorted(kept)
    assert split(all_of_them, 0) == (kept, drawn)
    assert count == 10 or split(all_of_them, 1)[1] != drawn


def test_held_out_figures_are_counted_by_iou():
    net = LogisticNet(2)
    net.weight.data = torch.tensor([1.0, 0.0])
    tokens = torch.full((2, 4, 2), -1.0)
    tokens[:, :2, 0] = 1.0  # the head finds the left half
    known = [
        Known(picture_of(np.ones((2, 4)), [(0, 0, 2, 2)])),
        Known(picture_of(np.ones((2, 4)), [(2, 0, 4, 2)])),
        Known(picture_of(np.ones((2, 4)), [(2, 0, 4, 2)]), np.array([[3.0, 0, 4, 1], [0.0, 0, 2, 2]])),
        Known(picture_of(np.ones((2, 4)), [(2, 0, 4, 2)]), np.array([[2.0, 0, 4, 2]])),
    ]
    assert held_out_report(net, known, lambda key: tokens) == {
        "photographs": 2,
        "agree_with_head_consensus": 1,
        "composites": 2,
        "composites_hit_by_head": 1,
        "composites_hit_by_head_consensus": 1,
    }


def test_where_a_head_finds_nothing_head_consensus_answers():
    picture = picture_of(np.ones((2, 4)), [(1, 0, 3, 2)])
    assert head_box(LogisticNet(2), picture, torch.zeros(2, 4, 2)).tolist() == [1, 0, 3, 2]
    assert consensus_box(picture_of(np.ones((2, 4)))).tolist() == [0, 0, 4, 2]


def test_the_loss_picture_shows_every_line():
    import io

    from PIL import Image

    drawn = Image.open(io.BytesIO(loss_chart({"a": [1.0, 0.5, 0.25], "b": [0.2, 0.2, 0.1]}, "epoch")))
    colours = {colour for _, colour in drawn.convert("RGB").getcolors(100_000)}
    assert {(0, 114, 178), (213, 94, 0)} <= colours
    assert (0, 158, 115) not in colours
    assert Image.open(io.BytesIO(loss_chart({"a": [0.0]}, "round"))).size == drawn.size
