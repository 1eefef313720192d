"""eval/distilled.py as a user runs it, on two photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import short_lists

from lostreg.cli import main

pytestmark = pytest.mark.weights
SCRIPT = Path(__file__).parent.parent / "eval" / "distilled.py"
MODEL = "dinov2-s14-imgfocus"


@pytest.mark.usefixtures("offline_weights")
def test_stock_teacher_and_student_side_by_side(data_root, tmp_path):
    folder = short_lists(data_root, tmp_path, two=2, three=3)
    third = (folder / "ImageSets" / "Main" / "three.txt").read_text().split()[2]
    photograph = folder / "JPEGImages" / f"{third}.jpg"
    few = ("--views", "2", "--epochs", "1", "--max-side", "112", "--quiet")
    out = tmp_path / "distilled"
    assert main(["registers", "distill", str(photograph), "--model", MODEL, "--output", str(out), *few]) == 0
    command = [
        sys.executable,
        str(SCRIPT),
        "--root",
        str(folder),
        "--split",
        "two",
        "--output",
        str(tmp_path / "table"),
    ]
    command += ["--adapters", str(out / "adapter.safetensors")]
    command += ["--views", "2", "--max-side", "112", "--scratch", str(tmp_path / "scratch")]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((tmp_path / "table.json").read_text())
    names = ["stock", "teacher, 2 views", "student, 4 registers, seed 0"]
    assert [variant["name"] for variant in found["variants"]] == names
    for variant in found["variants"]:
        for row in variant["rows"].values():
            assert row["corloc"]["images"] == 2
            versus = row["against_stock"]
            assert versus["difference"] == pytest.approx(50 * (versus["only_this"] - versus["only_stock"]))
    assert found["variants"][2]["adapter"]["pictures"] == {"used": 1, "failed": 0}
    table = (tmp_path / "table.md").read_text()
    assert found["command"] in table
    assert all(f"| {name} | " in table for name in names)
    assert len(list((tmp_path / "scratch").iterdir())) == 3
