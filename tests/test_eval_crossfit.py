"""eval/crossfit.py as a user runs it, on a list of a few photographs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import short_lists

pytestmark = [pytest.mark.weights, pytest.mark.slow]
SCRIPT = Path(__file__).parent.parent / "eval" / "crossfit.py"


def test_every_photograph_is_scored_once(data_root, offline_weights, tmp_path):
    folder = short_lists(data_root, tmp_path, all=16, some=8)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights").symlink_to(offline_weights.path.parent)
    command = [sys.executable, str(SCRIPT), "--root", str(folder), "--split", "all", "--exclude-split", "some"]
    command += ["--output", str(tmp_path / "out"), "--epochs", "1", "--composites", "2", "--device", "cpu"]
    command += ["--looks", "2"]
    subprocess.run(
        command, check=True, capture_output=True, env=os.environ | {"LOSTREG_CACHE": str(tmp_path / "cache")}
    )
    found = json.loads((tmp_path / "out.json").read_text())
    recipes = found["recipes"]
    assert [each["images"] for each in recipes.values()] == [8, 8, 8]
    assert [each["provenance"]["counts"]["listed"] for each in found["fits"]] == [12, 12]
    assert found["fits"][0]["sha256"] != found["fits"][1]["sha256"]
    assert len(found["comparisons"]) == 3
    for versus in found["comparisons"]:
        first, second = (recipes[versus[side]]["corloc"]["hits"] for side in ("first", "second"))
        assert versus["only_second"] - versus["only_first"] == second - first
    assert found["command"] in (tmp_path / "out.md").read_text()
