"""eval/crossfit.py as a user runs it, on a list of a few photographs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.weights, pytest.mark.slow]
SCRIPT = Path(__file__).parent.parent / "eval" / "crossfit.py"


def test_every_photograph_is_scored_once(data_root, offline_weights, tmp_path):
    real, folder = data_root / "voc07" / "VOCdevkit" / "VOC2007", tmp_path / "VOC2007"
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("Annotations", "JPEGImages"):
        (folder / name).symlink_to(real / name)
    names = (real / "ImageSets" / "Main" / "dev100.txt").read_text().split()[:16]
    (lists / "all.txt").write_text("\n".join(names) + "\n")
    (lists / "some.txt").write_text("\n".join(names[:8]) + "\n")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights").symlink_to(offline_weights.path.parent)
    command = [sys.executable, str(SCRIPT), "--root", str(folder), "--split", "all", "--exclude-split", "some"]
    command += ["--output", str(tmp_path / "out"), "--epochs", "1", "--composites", "2", "--device", "cpu"]
    subprocess.run(
        command, check=True, capture_output=True, env=os.environ | {"LOSTREG_CACHE": str(tmp_path / "cache")}
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["fitted"]["images"] == found["head_consensus"]["images"] == 8
    assert [each["provenance"]["counts"]["listed"] for each in found["fits"]] == [12, 12]
    assert found["fits"][0]["sha256"] != found["fits"][1]["sha256"]
    versus = found["comparison"]
    hits = [found[name]["corloc"]["hits"] for name in ("head_consensus", "fitted")]
    assert versus["only_fitted"] - versus["only_head_consensus"] == hits[1] - hits[0]
    assert found["command"] in (tmp_path / "out.md").read_text()
