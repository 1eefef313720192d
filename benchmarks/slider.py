"""How long the demo's server takes to answer a moved slider: everything but the ViT, which does not run again::

    python benchmarks/slider.py --root VOCdevkit --split dev100 --model dinov2-s14-imgfocus

*Step* is the cheap step alone, ``Discoverer.discover``; *answer* is all that the server does before it sends: the
step, the record, the picture with its objects and the maps. Every photograph is answered once for each method, in
alternation, by wall clock. Needs ``pip install ".[demo]"``, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import photographs, write

from lostreg.cli import run_script
from lostreg.demo.controls import overrides
from lostreg.demo.discover_tab import answer
from lostreg.demo.engine import Engine
from lostreg.demo.models import Models
from lostreg.demo.uploads import Upload
from lostreg.progress import Progress

METHODS = ("lost", "head-consensus", "fitted", "tokencut", "maskcut", "dino-seg", "attention-seed", "diffusion")
TARGET_MS = 150.0


def main() -> None:
    """Measure and write ``results/slider.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of VOC2007")
    parser.add_argument("--split", default="dev100")
    parser.add_argument("--model", default="dinov2-s14-imgfocus")
    parser.add_argument("--methods", default=",".join(METHODS), help="separated by commas")
    parser.add_argument("--objects", type=int, default=1, help="where the slider is moved to; 0 for auto")
    args = parser.parse_args()
    methods = args.methods.split(",")
    engine = Engine(Models([args.model]))
    preset = engine.models.get(args.model).settings
    paths = photographs(args.root, args.split)
    seen = {method: {"step": [], "answer": []} for method in methods}
    with Progress(len(paths)) as progress:
        for path in paths:
            analysed, _ = engine.analyse(path.read_bytes(), args.model)
            for method in methods:
                wanted = method, preset.feature, str(preset.offset), 100, args.objects
                _, step_ms = engine.discover(analysed, **overrides(*wanted))
                started = time.perf_counter()
                answer(engine, Upload(path, path.name), args.model, *wanted)
                seen[method]["step"].append(step_ms)
                seen[method]["answer"].append((time.perf_counter() - started) * 1000)
            progress.advance()
    assert engine.forwards == len(paths), "the ViT must run once per photograph"
    write("slider", {"photographs": len(paths), "objects": args.objects, "ms": _figures(seen)})


def _figures(seen: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    return {method: {what: _spread(ms) for what, ms in both.items()} for method, both in seen.items()}


def _spread(ms: list[float]) -> dict[str, float]:
    low, middle, high, slow = (round(float(each), 1) for each in np.percentile(ms, [10, 50, 90, 95]))
    within = float(np.mean(np.array(ms) <= TARGET_MS))
    return {"p10": low, "median": middle, "p90": high, "p95": slow, "max": round(max(ms), 1), "within_150": within}


if __name__ == "__main__":
    sys.exit(run_script(main))
