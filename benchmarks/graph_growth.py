"""Time and memory of LOST's graph and box against the number of patches, to 4096 x 4096 pixels at patch 14.

Each size runs in a process of its own, so that its peak memory is its own. Features are random, 384 wide: the cost of
the graph does not depend on what they hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch
from common import RESULTS, write

from lostreg.bench.machine import peak_memory_mb
from lostreg.cli import run_script
from lostreg.discovery import on_photograph
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.objects import find_objects
from lostreg.settings import MethodSettings

GRIDS = ((16, 16), (20, 20), (28, 37), (64, 64), (128, 128), (180, 180), (256, 256), (293, 293))
"""Rows and columns of patches: 28 x 37 are those of 392 x 518 pixels, 293 x 293 those of 4102 x 4102."""

MANY, SECONDS = 50, 2.0
"""A size is measured so often, or so long; the first run does not count unless it is the only one."""


def measure_one(rows: int, columns: int, method: str) -> dict[str, float]:
    """Return seconds and peak memory of one size."""
    generator = torch.Generator().manual_seed(0)
    pixels = (14 * columns, 14 * rows)
    features = Features(
        Frame(pixels, pixels, (rows, columns), 14), {"k": torch.randn(rows * columns, 384, generator=generator)}
    )
    before = peak_memory_mb(torch.device("cpu"))["resident"]
    settings, seconds = MethodSettings(method, feature="k"), []
    while not seconds or (len(seconds) <= MANY and sum(seconds) < SECONDS):
        started = time.perf_counter()
        on_photograph(find_objects(features, settings), features.frame, settings)
        seconds.append(time.perf_counter() - started)
    seconds = seconds[1:] or seconds
    return {
        "patches": rows * columns,
        "seconds": round(float(np.median(seconds)), 5),
        "p10": round(float(np.percentile(seconds, 10)), 5),
        "p90": round(float(np.percentile(seconds, 90)), 5),
        "runs": len(seconds),
        "features_mb": round(features.tokens["k"].nbytes / 1e6, 1),
        "peak_mb": peak_memory_mb(torch.device("cpu"))["resident"],
        "peak_before_mb": before,
    }


def plot(rows: list[dict[str, float]]) -> None:
    """Draw time and memory against the number of patches, ``results/graph-growth.png``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    patches = np.array([row["patches"] for row in rows])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.loglog(patches, [row["seconds"] for row in rows], "o-")
    left.set(xlabel="patches N", ylabel="seconds: graph and box", title="time")
    right.loglog(patches, [row["peak_mb"] for row in rows], "o-", label="peak of the process")
    right.loglog(patches, patches**2 * 4 / 1e6, "--", label="an N x N matrix in fp32")
    right.axhline(2000, color="grey", linewidth=0.8, label="2 GB")
    right.set(xlabel="patches N", ylabel="MB", title="memory")
    right.legend()
    figure.savefig(RESULTS / "graph-growth.png", dpi=110)


def main() -> None:
    """Measure every size and write ``results/graph-growth.json`` and ``.png``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="lost")
    parser.add_argument("--grid", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="measure only it and print it")
    args = parser.parse_args()
    if args.grid:
        print(json.dumps(measure_one(*args.grid, args.method)))
        return
    rows = []
    for grid in GRIDS:
        command = [sys.executable, __file__, "--grid", *map(str, grid), "--method", args.method]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(rows[-1], file=sys.stderr, flush=True)
    write("graph-growth", {"method": args.method, "width": 384, "rows": rows})
    plot(rows)


if __name__ == "__main__":
    sys.exit(run_script(main))
