"""Two processes with --shard against one single-threaded process, on the same list."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import write

from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.runreader import read_header


def discover(args: argparse.Namespace, run: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start ``lostreg discover`` on one thread."""
    command = [sys.executable, "-m", "lostreg", "discover", "--dataset", "voc07", "--root", str(args.root)]
    command += ["--split", args.split, "--model", OFFLINE_MODEL, "--engine", args.engine, "--quiet"]
    return subprocess.Popen([*command, "--output", str(run), *more], env=os.environ | {"OMP_NUM_THREADS": "1"})


def rate(runs: list[subprocess.Popen[bytes]], folders: list[Path]) -> float:
    """Wait, and return images per second of all together, start-up left out."""
    if any(run.wait() != 0 for run in runs):
        raise SystemExit("lostreg discover failed")
    return sum(float(read_header(folder)["timings"]["images_per_second"]) for folder in folders)


def main() -> None:
    """Measure and write ``results/shards.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="dev100")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--engine", default="torch")
    args = parser.parse_args()
    singles, doubles = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for pair in range(args.pairs):
            one = Path(temporary) / f"one-{pair}"
            singles.append(rate([discover(args, one)], [one]))
            parts = [Path(temporary) / f"{part}-of-2-{pair}" for part in (1, 2)]
            both = [discover(args, folder, "--shard", f"{part}/2") for part, folder in enumerate(parts, start=1)]
            doubles.append(rate(both, parts))
    ratios = np.array(doubles) / np.array(singles)
    write(
        "shards",
        {
            "split": args.split,
            "engine": args.engine,
            "one_process_images_per_second": singles,
            "two_shards_images_per_second": doubles,
            "times": dict(zip(("p10", "median", "p90"), np.percentile(ratios, (10, 50, 90)).round(3), strict=True)),
        },
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
