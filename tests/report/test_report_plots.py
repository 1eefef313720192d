"""Plots: the right columns, inside their picture, on round axes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lostreg.report.plots import bar_rows, columns, histogram


def bars(svg):
    root = ET.fromstring(svg)
    rects = [group.find("rect") for group in root.findall("g")]
    return [(float(rect.get("height")), float(rect.get("y")), rect.get("class")) for rect in rects]


def tips(svg):
    return [each.text for each in ET.fromstring(svg).iter("title")]


def labels(svg):
    return [each.text for each in ET.fromstring(svg).iter("text")]


def test_a_histogram_counts_and_keeps_what_is_above_in_its_last_column():
    svg = histogram([0.0, 0.05, 0.24, 0.25, 0.99, 1.0, 1.0001], 1.0, "score", bins=4)
    # by hand: [0, .25) holds three, [.25, .5) one, [.75, 1] three
    assert tips(svg) == ["0 to 0.25: 3", "0.25 to 0.5: 1", "0.5 to 0.75: 0", "0.75 to 1: 3"]
    heights = [height for height, _, _ in bars(svg)]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.05)
    assert heights[2] == 0


def test_columns_from_a_value_on_are_strong():
    kinds = [kind for _, _, kind in bars(histogram([0.1], 1.0, "IoU", strong_from=0.5))]
    assert kinds == ["weak"] * 10 + ["strong"] * 10


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (6, ["0", "2", "4", "6"]),
        (97, ["0", "50", "100"]),
        (123_456, ["0", "50000", "100000", "150000"]),
    ],
)
def test_axes_are_round_and_hold_the_highest_column(highest, expected):
    svg = columns([float(highest)], [""], {}, "pictures", [True])
    assert labels(svg)[:-1] == expected
    height, y, _ = bars(svg)[0]
    assert y >= 8 - 0.01
    assert height <= 148.01


def test_no_values_are_an_empty_plot():
    assert [height for height, _, _ in bars(histogram(np.zeros(0), 1.0, "score"))] == [0.0] * 20


def test_bars_are_as_long_as_their_share_and_names_are_escaped():
    rows = bar_rows([("<cat>", 62.5, "5 of 8"), ("dog", None, "0 of 0")], "class")
    assert re.findall(r"width:([\d.]+)%", rows) == ["62.5", "0.0"]
    assert "&lt;cat&gt;" in rows
    assert ">62.5<" in rows
    assert ">–<" in rows
