"""eval/table3.py: what is swept, what is held out, and the table as a user makes it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import short_lists

EVAL = Path(__file__).parent.parent / "eval"


@pytest.fixture
def table3(monkeypatch):
    monkeypatch.syspath_prepend(str(EVAL))
    return importlib.import_module("table3")


def test_held_out_never_scores_what_it_chose_on(table3):
    first, second = table3.Setting(-1, "k", "none"), table3.Setting(-1, "v", "none")
    # the first hits all even photographs, the second all odd ones: each looks perfect where it is chosen
    hit = {first: np.array([True, False] * 3), second: np.array([False, True] * 3)}
    chosen, scored = table3.held_out(hit)
    assert chosen == [first, second]
    assert scored.sum() == 0
    assert len(scored) == 6


def test_best_of_takes_the_first_of_equals(table3):
    first, second = table3.Setting(-1, "k", "none"), table3.Setting(-1, "v", "none")
    assert table3.best_of({first: np.array([True, False]), second: np.array([False, True])}, slice(None)) == first


@pytest.mark.weights
@pytest.mark.usefixtures("offline_weights")
def test_a_list_becomes_a_table(data_root, tmp_path):
    folder = short_lists(data_root, tmp_path, three=3)
    options = [
        "--layers",
        "-1",
        "--offsets",
        "none",
        "mean",
        "g0.5",
        "--models",
        "dinov2-s14-imgfocus",
        "dinov2-s14-imgfocus+native",
    ]
    command = [sys.executable, str(EVAL / "table3.py"), "--root", str(folder), "--split", "three"]
    subprocess.run([*command, "--output", str(tmp_path / "table"), *options], check=True, capture_output=True)
    found = json.loads((tmp_path / "table.json").read_text())
    model, without_registers = found["models"]
    assert without_registers.keys() == {"model", "not_measured"}
    assert [each["setting"] for each in model["stated"]] == ["k, layer -1, offset none", "k, layer -1, offset mean"]
    assert model["swept"]["settings_tried"] == len(model["all"]) == 9
    assert model["swept"]["hits"] == max(each["hits"] for each in model["all"])
    assert all((each["bias"] is not None) == each["setting"].endswith("g0.5") for each in model["all"])
    table = (tmp_path / "table.md").read_text()
    assert "**swept**, best of 9" in table
    assert "an upper bound" in table
