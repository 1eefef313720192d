"""Whether two runs find the same boxes: the IoU of their first boxes, picture by picture, and CorLoc of both."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from common import write

from lostreg.cli import run_script
from lostreg.datasets import open_dataset
from lostreg.evaluate import compare_runs, evaluate
from lostreg.metrics.corloc import iou
from lostreg.predictions import Predictions, read_predictions


def main() -> None:
    """Compare and write ``results/agreement.json``, or another name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path, help="run folder, such as one of --engine torch in fp32")
    parser.add_argument("other", type=Path, help="run folder over the same pictures")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="dev500")
    parser.add_argument("--name", default="agreement", help="of the result")
    args = parser.parse_args()
    truths = open_dataset("voc07", args.root, args.split).truths()
    runs = [of_split(read_predictions(each, {}), truths.keys()) for each in (args.reference, args.other)]
    results = [evaluate(truths, run) for run in runs]
    versus = compare_runs(*results)
    first = [np.array([run.images[key].boxes_xyxy[0] for key in truths]) for run in runs]
    overlaps = iou(*first)
    write(
        args.name,
        {
            "split": args.split,
            "images": len(truths),
            "corloc": [result.to_json()["corloc"]["percent"] for result in results],
            "difference": versus.difference,
            "interval95": list(versus.interval),
            "boxes_with_iou_over_0.9": round(float((overlaps > 0.9).mean()), 4),
            "boxes_equal": round(float((first[0] == first[1]).all(axis=1).mean()), 4),
            "smallest_iou": round(float(overlaps.min()), 4),
        },
    )


def of_split(run: Predictions, keys: object) -> Predictions:
    """Keep the pictures of a split, of a run that holds more."""
    return Predictions(run.source, {key: boxes for key, boxes in run.images.items() if key in keys})


if __name__ == "__main__":
    sys.exit(run_script(main))
