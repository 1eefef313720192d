"""Every discovery method on every feature it can read, on one VOC list, from one extraction per photograph.

The ViT runs once per photograph and every row reads the same features through :class:`lostreg.Discoverer`, with the
defaults that the command line has. Written are ``OUTPUT.json`` and ``OUTPUT.md``: CorLoc with its 95 % bootstrap
interval, the paired comparison with LOST on values (McNemar's exact test), and the time beside that of the ViT::

    python eval/methods.py --root VOCdevkit --split dev500 --output eval/results/methods-dev500
    python eval/methods.py --root VOCdevkit --split dev2000 --exclude-split dev500 --features v \\
        --methods lost dino-seg tokencut maskcut attention-seed diffusion head-consensus whole-image \\
        --output eval/results/methods-dev1500

Nothing is chosen on the photographs it runs on: there is no sweep. Leave ``fitted`` out, as in the second command,
where its head saw the photographs; ``eval/crossfit.py`` scores heads on others. Set ``OMP_NUM_THREADS=1`` for times
that another program on the machine cannot spoil much.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from photographs import add_list_options, add_model_option, made_with, open_list, save
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.cli import run_script
from lostreg.datasets import DatasetImage
from lostreg.discovery import Discovery
from lostreg.evaluate import Evaluation, compare_runs, evaluate
from lostreg.images import read_photograph
from lostreg.methods import METHODS
from lostreg.methods.fitted import NAME as FITTED
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.published import published_rows
from lostreg.settings import PARTS, PROJECTIONS, MethodSettings, Offset, Projection

READS = {
    "dino-seg": "attention, head 4",
    "attention-seed": "v, attention",
    "diffusion": "v, attention",
    "head-consensus": "v, attention",
    FITTED: "x, v, attention, shipped head",
    "whole-image": "nothing",
}
REFERENCE = MethodSettings("lost", feature="v")


@dataclass
class Run:
    """What one row found.

    Attributes:
        settings: how.
        boxes: by photograph.
        ms: of the cheap step, per photograph.
    """

    settings: MethodSettings
    boxes: dict[str, PredictedBoxes] = field(default_factory=dict)
    ms: list[float] = field(default_factory=list)

    def add(self, key: str, found: Discovery, ms: float) -> None:
        """Take the result on one photograph."""
        self.boxes[key] = PredictedBoxes(found.boxes_xyxy, found.scores)
        self.ms.append(ms)

    @property
    def reads(self) -> str:
        """What the row reads, for the table."""
        if "feature" not in METHODS[self.settings.method].reads:
            return READS[self.settings.method]
        return self.settings.feature + (", centred" if self.settings.offset.kind == "mean" else "")


def all_settings(methods: Sequence[str], features: Sequence[Projection]) -> list[MethodSettings]:
    """Return a row per method and feature, LOST also on centred features, and always the reference."""
    rows = [REFERENCE]
    for method in methods:
        names = features if "feature" in METHODS[method].reads else (MethodSettings().feature,)
        offsets = (Offset(), Offset("mean")) if method == "lost" else (Offset(),)
        rows += [MethodSettings(method, feature=name, offset=offset) for name in names for offset in offsets]
    return list(dict.fromkeys(rows))


def measure(discoverer: Discoverer, images: Sequence[DatasetImage], runs: list[Run]) -> list[float]:
    """Run the ViT once per photograph and every row on its features; return the ViT's milliseconds."""
    vit_ms = []
    for image in tqdm(images, unit="photograph", mininterval=5):
        # VOC annotates the stored frame
        tensor, frame = discoverer.prepare(read_photograph(image.path, upright=False))
        started = time.perf_counter()
        (features,) = discoverer.extract_batch(tensor[None], [frame], set(PARTS))
        vit_ms.append(1000 * (time.perf_counter() - started))
        for run in runs:
            settings, started = run.settings, time.perf_counter()
            found = discoverer.discover(
                features, method=settings.method, feature=settings.feature, offset=settings.offset
            )
            run.add(image.key, found, 1000 * (time.perf_counter() - started))
    return vit_ms


def row_to_json(run: Run, vit_ms: list[float], result: Evaluation, reference: Evaluation) -> dict[str, Any]:
    """Return the figures of one row."""
    whole = result.to_json()
    versus = compare_runs(reference, result)
    return {
        "method": run.settings.method,
        "reads": run.reads,
        "corloc": whole["corloc"],
        "mean_best_iou": whole["mean_best_iou"],
        "whole_image_boxes": whole["whole_image_boxes"],
        "images_without_prediction": whole["images_without_prediction"],
        "against_lost_on_values": {
            "only_lost": versus.only_first,
            "only_this": versus.only_second,
            "difference": versus.difference,
            "interval95": list(versus.interval),
            "mcnemar_p": versus.p_value,
        },
        "ms_median": float(np.median(run.ms)),
        "share_of_vit_median": float(np.median(np.array(run.ms) / np.array(vit_ms))),
    }


def report(args: argparse.Namespace, discoverer: Discoverer, vit_ms: list[float], rows: list[Any]) -> dict[str, Any]:
    """Return everything that the run found and what it was made with."""
    weights = discoverer.weights
    return {
        **made_with(args),
        "images": len(vit_ms),
        "model": weights.entry.name,
        "weights_sha256": weights.sha256,
        "precision": discoverer.precision,
        "device": str(discoverer.backbone.device),
        "vit_ms": dict(zip(("p10", "median", "p90"), np.percentile(vit_ms, (10, 50, 90)).tolist(), strict=True)),
        "rows": rows,
    }


def to_markdown(found: dict[str, Any], name: str) -> str:
    """Return the table, and the literature's figures below it."""
    lines = [
        f"# CorLoc on VOC2007 {name}: {found['images']} photographs, {found['model']}",
        "",
        f"    {found['command']}",
        "",
        f"One box per photograph, every object counts, IoU at least 0.5; weights {found['weights_sha256'][:12]}, "
        f"{found['precision']} on {found['device']}, {found['threads']} thread(s). The ViT takes "
        f"{found['vit_ms']['median']:.0f} ms per photograph (10 to 90 %: {found['vit_ms']['p10']:.0f} to "
        f"{found['vit_ms']['p90']:.0f}); times and shares are medians of the cheap step alone.",
        "",
        "| method | reads | CorLoc [95 %] | against LOST on values [95 %] | McNemar p | no box | ms | of the ViT |",
        "|---|---|---|---|---|---|---|---|",
        *map(_markdown_row, found["rows"]),
        "",
        "The literature on the whole of VOC2007 trainval (5,011 photographs), nothing trained:",
        "",
        "| method | backbone | CorLoc | source |",
        "|---|---|---|---|",
    ]
    published = [row for row in published_rows("voc07") if not row.trained]
    lines += [f"| {row.method} | {row.backbone} | {row.voc07} | {row.source} |" for row in published]
    return "\n".join(lines) + "\n"


def _markdown_row(row: dict[str, Any]) -> str:
    (low, high), versus = row["corloc"]["interval95"], row["against_lost_on_values"]
    return (
        f"| {row['method']} | {row['reads']} | {row['corloc']['percent']:.1f} [{low:.1f}, {high:.1f}] "
        f"| {versus['difference']:+.1f} [{versus['interval95'][0]:+.1f}, {versus['interval95'][1]:+.1f}] "
        f"| {versus['mcnemar_p']:.2g} | {row['images_without_prediction']} "
        f"| {row['ms_median']:.1f} | {100 * row['share_of_vit_median']:.1f} % |"
    )


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_list_options(parser)
    add_model_option(parser)
    training_free = [name for name in METHODS if name != FITTED]
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        default=training_free,
        metavar="NAME",
        help=f"(default: all that need no fit; {FITTED} reads the head that ships for the model)",
    )
    parser.add_argument(
        "--features", nargs="+", choices=PROJECTIONS, default=PROJECTIONS, help="for the methods that read any"
    )
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    args = parse_arguments()
    photographs = open_list(args)
    discoverer = Discoverer(args.model, device=args.device, engine="torch")
    runs = [Run(settings) for settings in all_settings(args.methods, args.features)]
    vit_ms = measure(discoverer, photographs.images, runs)
    results = [evaluate(photographs.truths, Predictions(run.settings.method, run.boxes)) for run in runs]
    rows = [row_to_json(run, vit_ms, result, results[0]) for run, result in zip(runs, results, strict=True)]
    found = report(args, discoverer, vit_ms, rows)
    save(args.output, found, to_markdown(found, photographs.name))


if __name__ == "__main__":
    sys.exit(run_script(main))
