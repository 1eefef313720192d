"""Images per second from files to a run folder, against the published procedure, pair by pair in one process."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import photographs, write
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.bench.baseline import published_box
from lostreg.bench.clock import Timing, ratios
from lostreg.bench.machine import peak_memory_mb
from lostreg.bench.stages import run_pipeline
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.engines import lanes_for_many


def main() -> None:
    """Measure and write ``results/end-to-end.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="dev100")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--limit", type=int, help="only the first so many photographs")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="bf16")
    args = parser.parse_args()
    files = photographs(args.root, args.split)[: args.limit]
    reference = Discoverer(OFFLINE_MODEL, device="cpu", engine="torch")
    ours = reference.with_engine(args.engine, args.precision, lanes_for_many(args.engine))
    seconds: dict[str, list[float]] = {"ours": [], "published": []}
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        run_pipeline(ours, files[:4], Path(folder) / "warm-up")
        published_box(reference.backbone, files[0])
        for pair in tqdm(range(args.pairs), unit="pair"):
            started = time.perf_counter()
            shares.append(run_pipeline(ours, files, Path(folder) / str(pair)))
            seconds["ours"].append(time.perf_counter() - started)
            started = time.perf_counter()
            for path in files:
                published_box(reference.backbone, path)
            seconds["published"].append(time.perf_counter() - started)
    timings = {name: Timing(tuple(spent)) for name, spent in seconds.items()}
    write(
        "end-to-end",
        {
            "split": args.split,
            "images": len(files),
            "model": reference.weights.entry.name,
            "method": reference.settings.method,
            "engine": f"{args.engine} {args.precision}, {ours.engine.lanes} at once",
            "images_per_second": {name: round(len(files) / each.median, 3) for name, each in timings.items()},
            "per_image": {name: each.to_json(per=len(files)) for name, each in timings.items()},
            "times_published": ratios(timings["published"], timings["ours"]),
            "not_vit_share": round(float(np.median(shares)), 4),
            "peak_memory_mb": peak_memory_mb(reference.backbone.device),
        },
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
