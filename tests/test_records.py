"""Records: from a discovery to a line of JSON and back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from small_runs import DECODES_MASKS
from support import frame_of

from lostreg.discovery import on_photograph
from lostreg.errors import RunError
from lostreg.geometry import Frame
from lostreg.methods.base import Proposal
from lostreg.objects import ScoredProposal
from lostreg.records import Record, decode_mask, encode_mask, mask_area, record_of
from lostreg.settings import MethodSettings


def discovery_of(region, frame, box_grid=None):
    scores = region.astype(np.float32)
    proposal = Proposal(region, scores, (0, 1), {"score": scores}, box_grid)
    return on_photograph([ScoredProposal(proposal, 0.123456)], frame, MethodSettings())


@DECODES_MASKS
def test_a_record_survives_its_line():
    region = np.array([[False, True, True], [False, False, True]])
    discovery = discovery_of(region, frame_of((2, 3)))
    made = record_of(discovery, key="sub/ü.jpg", path="/p/ü.jpg", settings="abc", orientation=6, ms={"vit": 1.25})
    read = Record.from_json(json.loads(made.to_line()))
    assert read == made
    (found,) = read.objects
    assert (found.bbox_xyxy, found.score, found.seed_xy) == ((14, 0, 42, 28), 0.1235, (21, 7))
    assert (decode_mask(found.mask) == discovery.masks[0]).all()


def test_nothing_found_is_a_record_too():
    made = record_of(on_photograph([], frame_of((2, 3)), MethodSettings()), key="a", path="a", settings="s")
    assert made.objects == ()
    assert (made.width, made.height) == (42, 28)
    assert Record.from_json(made.to_json()) == made


def test_a_box_of_its_own_goes_before_the_extent_of_the_mask():
    region = np.ones((2, 3), dtype=bool)
    discovery = discovery_of(region, frame_of((2, 3)), (0.5, 0.25, 2.5, 1.75))
    assert discovery.boxes_xyxy.tolist() == [[7.0, 3.5, 35.0, 24.5]]


def test_rounded_boxes_stay_inside_the_picture():
    for width in range(1, 400, 7):
        frame = Frame((width, 91), (max(1, width // 3), 30), (3, -(-max(1, width // 3) // 14)), 14)
        region = np.ones(frame.grid_hw, dtype=bool)
        made = record_of(discovery_of(region, frame), key="a", path="a", settings="s")
        x0, y0, x1, y1 = made.objects[0].bbox_xyxy
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= 91


@DECODES_MASKS
def test_masks_survive_their_encoding():
    generator = np.random.default_rng(0)
    for _ in range(50):
        mask = generator.random(generator.integers(1, 60, size=2)) < generator.random()
        encoded = encode_mask(mask)
        assert encoded["size"] == list(mask.shape)
        assert (decode_mask(json.loads(json.dumps(encoded))) == mask).all()
        assert mask_area(encoded) == mask.sum()


@pytest.mark.parametrize("counts", ["", "zzzz", "0", "PPPPPPPPPPPP", "]o0", "é", "06600", "o" * 99, "1" * 99])
def test_damaged_run_lengths_are_refused_before_they_are_decoded(counts):
    with pytest.raises(RunError, match="do not add up"):
        decode_mask({"size": [3, 4], "counts": counts})


GARBLED = [{}, None, [], "text", {"key": "a"}, 3]


@pytest.mark.parametrize("values", GARBLED)
def test_what_is_no_record_is_refused(values):
    with pytest.raises(RunError, match=r"A record (lacks|garbles)"):
        Record.from_json(values)


@pytest.mark.parametrize("name", ["key", "path", "width", "height", "objects", "grid_hw", "settings", "orientation"])
def test_every_field_is_needed(name):
    values = record_of(on_photograph([], frame_of((2, 3)), MethodSettings()), key="a", path="a", settings="s").to_json()
    del values[name]
    with pytest.raises(RunError, match=name):
        Record.from_json(values)


DAMAGE = {
    "no key": lambda record: record.pop("key"),
    "a width of 0": lambda record: record.update(width=0),
    "an infinite width": lambda record: record.update(width=math.inf),
    "a width as text": lambda record: record.update(width="42"),
    "a height beyond all formats": lambda record: record.update(height=2**40),
    "objects that are none": lambda record: record.update(objects=None),
    "an object that is a number": lambda record: record.update(objects=[3]),
    "times that are no numbers": lambda record: record.update(ms={"vit": "fast"}),
    "times that are a list": lambda record: record.update(ms=[1]),
    "one side of a grid": lambda record: record.update(grid_hw=[3]),
    "three edges": lambda record: record["objects"][0].update(bbox_xyxy=[0, 0, 5]),
    "an edge that is no number": lambda record: record["objects"][0].update(bbox_xyxy=[0, 0, math.nan, 5]),
    "a box without size": lambda record: record["objects"][0].update(bbox_xyxy=[5, 0, 5, 5]),
    "an infinite score": lambda record: record["objects"][0].update(score=math.inf),
    "a mask of another size": lambda record: record["objects"][0]["mask"].update(size=[3, 3]),
    "a mask that is text": lambda record: record["objects"][0].update(mask="0"),
    "half a seed": lambda record: record["objects"][0].update(seed_xy=[1]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_record_is_refused(name):
    discovery = discovery_of(np.ones((2, 3), dtype=bool), frame_of((2, 3)))
    values = record_of(discovery, key="a", path="a", settings="s", ms={"vit": 1.0}).to_json()
    assert Record.from_json(values).key == "a"
    DAMAGE[name](values)
    with pytest.raises(RunError, match=r"A record (lacks|garbles)"):
        Record.from_json(values)
