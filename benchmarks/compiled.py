"""What ``--engine compiled`` gains: forwards of one grid, as they are and compiled, in alternation.

On CUDA its kernels are recorded as a graph too. Each further grid is compiled anew, which the second grid shows.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from common import write

from lostreg import Discoverer
from lostreg.bench.clock import alternate, ratios
from lostreg.bench.machine import synchronise
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.engines import make_engine, native_precisions
from lostreg.settings import Precision

PATCH = 14
INPUTS_HW = ((378, 504), (336, 504))
"""Of the two commonest grids of VOC2007 at patch 14."""


def measure(view: Any, device: torch.device, precision: Precision, batch: int, rounds: int) -> dict[str, Any]:
    """Return the seconds of compiling, the largest relative error of a part and the ratio of times."""
    grids = [(height // PATCH, width // PATCH) for height, width in INPUTS_HW]
    eager, compiled = make_engine("torch", precision, device), make_engine("compiled", precision, device, grids=grids)
    first, second = (torch.randn(batch, 3, *hw).to(device) for hw in INPUTS_HW)
    seconds = []
    for inputs in (first, second):
        started = time.perf_counter()
        found = compiled.run(view, inputs)
        synchronise(device)
        seconds.append(round(time.perf_counter() - started, 1))
    expected = eager.run(view, second)
    error = max(float((found[part] - values).norm() / values.norm()) for part, values in expected.items())
    tasks: dict[str, Callable[[], object]] = {
        "eager": lambda: (eager.run(view, first), synchronise(device)),
        "compiled": lambda: (compiled.run(view, first), synchronise(device)),
    }
    timings = alternate(tasks, rounds)
    return {
        "seconds_to_compile_and_compare_first_and_second_grid": seconds,
        "largest_relative_error": error,
        **{name: timing.to_json(per=batch) for name, timing in timings.items()},
        "times_faster": ratios(timings["eager"], timings["compiled"]),
    }


def main() -> None:
    """Measure every precision that the device computes in and write ``results/compiled-DEVICE.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.manual_seed(0)
    discoverer = Discoverer(OFFLINE_MODEL, device=args.device, engine="torch")
    vit, device = discoverer.backbone, discoverer.backbone.device
    view = vit.view(vit.depth - 1, discoverer.needs(discoverer.settings))
    with tempfile.TemporaryDirectory() as cache:  # an old one would hide what compiling takes
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        found = {each: measure(view, device, each, args.batch, args.rounds) for each in native_precisions(device)}
    write(f"compiled-{device.type}", {"model": OFFLINE_MODEL, "batch": args.batch, **found})


if __name__ == "__main__":
    sys.exit(run_script(main))
