"""eval/methods.py as a user runs it, on a list of a few photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import short_lists

pytestmark = pytest.mark.weights
SCRIPT = Path(__file__).parent.parent / "eval" / "methods.py"


@pytest.fixture
def voc(data_root, tmp_path):
    """Return a VOC folder with two lists: 4 photographs, and 1 of them."""
    return short_lists(data_root, tmp_path, four=4, one=1)


def run(voc, output, *options):
    command = [sys.executable, str(SCRIPT), "--root", str(voc), "--split", "four", "--output", str(output), *options]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(output.with_suffix(".json").read_text()), output.with_suffix(".md").read_text()


@pytest.mark.usefixtures("offline_weights")
def test_a_list_becomes_a_table(voc, tmp_path):
    methods = ("--methods", "head-consensus", "whole-image", "tokencut", "--features", "v")
    found, table = run(voc, tmp_path / "new" / "table", *methods)
    assert (found["images"], found["split"], found["excluded_split"]) == (4, "four", None)
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["lost", "head-consensus", "whole-image", "tokencut"]
    assert rows["lost"]["against_lost_on_values"]["difference"] == 0
    assert rows["whole-image"]["whole_image_boxes"]["hits"] == 4
    for row in rows.values():
        low, high = row["corloc"]["interval95"]
        assert row["corloc"]["images"] == 4
        assert low <= row["corloc"]["percent"] <= high
        assert row["ms_median"] > 0
        versus, gained = row["against_lost_on_values"], row["corloc"]["hits"] - rows["lost"]["corloc"]["hits"]
        assert versus["only_this"] - versus["only_lost"] == gained
        assert versus["difference"] == pytest.approx(25 * gained)
    assert "--methods head-consensus whole-image tokencut" in found["command"]
    assert found["command"] in table
    assert sum(line.startswith(("| lost |", "| head-consensus |", "| tokencut |")) for line in table.splitlines()) == 3
    fewer, _ = run(voc, tmp_path / "fewer", "--exclude-split", "one", "--methods", "whole-image")
    assert (fewer["images"], fewer["excluded_split"]) == (3, "one")
