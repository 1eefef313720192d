"""A picture of 4096 x 4096 pixels at patch 14, some 86,000 patches: graph and box in less than 2 GB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "graph_growth.py"


def measured(side):
    command = [sys.executable, str(SCRIPT), "--grid", str(side), str(side)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_memory_of_the_graph_stays_far_below_the_whole_matrix():
    row = measured(64)
    assert row["patches"] == 4096
    assert row["peak_mb"] - row["peak_before_mb"] < 50, "the whole matrix would be 67 MB, and its comparison 17 more"


@pytest.mark.slow
def test_eighty_six_thousand_patches_fit_into_two_gigabytes():
    row = measured(293)
    assert row["patches"] == 85849
    assert row["peak_mb"] < 2000
