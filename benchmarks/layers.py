"""Where OpenVINO's time goes, by kind of layer, and its share of the peak, in processor time of one thread.

Processor time of one thread leaves out what other programs take and what threads wait for each other. Beside the
product's model, which takes any number of patches, the same is compiled for exactly the tokens of one grid.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

import numpy as np
import openvino
import torch
from common import write

from lostreg import Discoverer
from lostreg.bench.clock import alternate, ratios
from lostreg.bench.machine import products
from lostreg.bench.stages import TEST_PICTURE_WH, count_gflop
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.engines.openvino_model import converted
from lostreg.images import as_photograph
from lostreg.pos_embed import RememberedPositions


def by_kind(request: openvino.InferRequest) -> dict[str, float]:
    """Return milliseconds of the last inference by kind of layer, the longest first."""
    spent: Counter[str] = Counter()
    for layer in request.profiling_info:
        spent[layer.node_type] += layer.real_time.total_seconds() * 1000
    return {kind: round(ms, 2) for kind, ms in spent.most_common(8)}


def main() -> None:
    """Measure and write ``results/layers-PRECISION.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    discoverer = Discoverer(OFFLINE_MODEL, device="cpu", engine="torch")
    vit, parts = discoverer.backbone, discoverer.needs(discoverer.settings)
    width, height = TEST_PICTURE_WH
    picture, frame = discoverer.prepare(as_photograph(np.zeros((height, width, 3), np.uint8)))
    gflop = count_gflop(discoverer, picture[None], [frame])
    view = vit.view(vit.depth - 1, parts)
    inputs = [picture[None].numpy(), RememberedPositions(view)(*frame.grid_hw).detach().numpy()]
    requests = {}
    for name in ("any grid", "one grid"):
        model = converted(view)
        if name == "one grid":
            model.reshape({number: list(array.shape) for number, array in enumerate(inputs)})
        settings = {"INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(args.precision, args.precision), "PERF_COUNT": True}
        settings |= {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
        requests[name] = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    tasks = {name: lambda request=request: request.infer(inputs) for name, request in requests.items()}
    multiplied = products(torch.device("cpu"), args.precision, count=1)
    tasks["product"] = multiplied.run
    timings = alternate(tasks, args.rounds, time.process_time)
    peak = multiplied.gflop / timings["product"].median
    write(
        f"layers-{args.precision}",
        {
            "tokens": inputs[1].shape[1],
            "gflop": round(gflop, 2),
            "peak_gflops_of_one_thread": round(peak, 1),
            **{
                name: {
                    **timings[name].to_json(),
                    "share_of_peak": round(gflop / timings[name].median / peak, 3),
                    "ms_by_kind": by_kind(request),
                }
                for name, request in requests.items()
            },
            "one_grid_times_faster": ratios(timings["any grid"], timings["one grid"]),
        },
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
