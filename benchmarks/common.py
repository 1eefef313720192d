"""What the benchmarks share: who measured what on which machine, and where it is written."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from lostreg.bench.machine import machine
from lostreg.cli.doctor import package_versions
from lostreg.datasets import open_dataset

RESULTS = Path(__file__).parent / "results"


def _without_home(argument: str) -> str:
    """Keep of an absolute path its last part: where data lies on a machine helps nobody."""
    return Path(argument).name if argument.startswith("/") else argument


def photographs(root: Path, split: str) -> list[Path]:
    """Return the photographs of a VOC2007 list, in its order."""
    return [image.path for image in open_dataset("voc07", root, split).images]


def write(name: str, figures: dict[str, Any]) -> None:
    """Write figures beside the command, the machine and the versions, and print them."""
    found = {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(_without_home, sys.argv[1:])]),
        "machine": machine(torch.device("cpu")),
        "versions": package_versions(),
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
