"""Registers from self-distillation: stock model, denoised teacher and distilled students side by side.

The adapters are trained on photographs without labels, none of which is in the list they are judged on::

    for seed in 0 1; do
        lostreg registers distill --dataset voc07 --root VOCdevkit --split dev2000 --exclude-split dev500 --limit 200 \\
            --model dinov2-s14-imgfocus --precision bf16 --max-side 336 --views 6 --epochs 2 --batch-size 4 \\
            --seed $seed --output distilled-$seed
    done
    python eval/distilled.py --root VOCdevkit --split dev500 --precision bf16 --views 6 --max-side 336 \\
        --adapters distilled-0/adapter.safetensors distilled-1/adapter.safetensors \\
        --output eval/results/distilled-dev500

Every row of a variant reads the same features. ``OUTPUT.json`` and ``OUTPUT.md`` give CorLoc with its 95 % bootstrap
interval and the paired comparison with the stock model read by the same method (McNemar's exact test). With
``--scratch DIR`` the boxes of each variant are kept there, and a variant that is there already is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from photographs import PhotographList, add_list_options, add_model_option, made_with, open_list, save
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.cli import run_script
from lostreg.evaluate import compare_runs, evaluate
from lostreg.images import read_photograph
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.registers.adapter import read_adapter
from lostreg.settings import MethodSettings, Offset, Part, fingerprint

ROWS = {
    "lost on values": MethodSettings("lost", feature="v"),
    "lost on keys, centred": MethodSettings("lost", feature="k", offset=Offset("mean")),
    "tokencut on values": MethodSettings("tokencut", feature="v"),
    "head-consensus": MethodSettings("head-consensus"),
}
PARTS: set[Part] = {"k", "v", "attention"}

Boxes = dict[str, dict[str, list[list[float]]]]
"""By row and photograph."""


@dataclass(frozen=True)
class Variant:
    """A way to run the model.

    Attributes:
        name: for the table.
        options: of the Discoverer.
        facts: of the adapter, for the results.
    """

    name: str
    options: dict[str, Any]
    facts: dict[str, Any]


def variants(args: argparse.Namespace) -> list[Variant]:
    """Return the stock model, the teacher if there are views, and a student per adapter."""
    found = [Variant("stock", {}, {})]
    if args.views > 1:
        found.append(Variant(f"teacher, {args.views} views", {"views": args.views}, {}))
    for path in args.adapters:
        adapter = read_adapter(path)
        identity = adapter.facts["identity"]
        name = f"student, {adapter.registers} registers, seed {identity['seed']}"
        found.append(Variant(name, {"registers": str(path)}, {"sha256": adapter.sha256, **adapter.facts}))
    return found


def measure(discoverer: Discoverer, photographs: PhotographList, name: str) -> Boxes:
    """Return the first box of every row on every photograph."""
    boxes: Boxes = {row: {} for row in ROWS}
    for image in tqdm(photographs.images, desc=name, unit="photograph", mininterval=30):
        # VOC annotates the stored frame
        tensor, frame = discoverer.prepare(read_photograph(image.path, upright=False))
        (features,) = discoverer.extract_batch(tensor[None], [frame], PARTS)
        for row, settings in ROWS.items():
            found = discoverer.discover(
                features, method=settings.method, feature=settings.feature, offset=settings.offset
            )
            boxes[row][image.key] = found.boxes_xyxy[:1].tolist()
    return boxes


def boxes_of(variant: Variant, args: argparse.Namespace, photographs: PhotographList) -> Boxes:
    """Measure a variant, or read what an earlier call has kept of it."""
    discoverer = Discoverer(
        args.model,
        device=args.device,
        engine="torch",
        precision=args.precision,
        max_side=args.max_side or None,
        **variant.options,
    )
    asked = [discoverer.identity(upright=False), [row.to_json() for row in ROWS.values()], photographs.name]
    kept = args.scratch / f"{fingerprint(asked)}.json" if args.scratch else None
    if kept is not None and kept.is_file():
        boxes: Boxes = json.loads(kept.read_text(encoding="utf-8"))
        return boxes
    boxes = measure(discoverer, photographs, variant.name)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(boxes), encoding="utf-8")
    return boxes


def compare(variant: Variant, boxes: Boxes, stock: Boxes, photographs: PhotographList) -> dict[str, Any]:
    """Return the figures of one variant by row."""
    rows = {}
    for row in ROWS:
        result, reference = (
            evaluate(photographs.truths, Predictions(row, {key: _predicted(each) for key, each in found[row].items()}))
            for found in (boxes, stock)
        )
        versus = compare_runs(reference, result)
        rows[row] = {
            "corloc": result.to_json()["corloc"],
            "mean_best_iou": result.mean_best_iou,
            "against_stock": {
                "only_stock": versus.only_first,
                "only_this": versus.only_second,
                "difference": versus.difference,
                "interval95": list(versus.interval),
                "mcnemar_p": versus.p_value,
            },
        }
    return {"name": variant.name, "adapter": variant.facts or None, "rows": rows}


def to_markdown(found: dict[str, Any]) -> str:
    """Return the table."""
    lines = [
        f"# Self-distilled registers on VOC2007 {found['list']}: {found['images']} photographs, {found['model']}",
        "",
        f"    {found['command']}",
        "",
        f"CorLoc in percent with its 95 % interval; in brackets the difference from the stock model read by the same "
        f"method, and McNemar's exact p. {found['precision']}, longer side at most {found['max_side'] or 'native'}.",
        "",
        "| | " + " | ".join(ROWS) + " |",
        "|---" * (len(ROWS) + 1) + "|",
    ]
    for variant in found["variants"]:
        cells = [_cell(variant["rows"][row], stock=variant is found["variants"][0]) for row in ROWS]
        lines.append(f"| {variant['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any], *, stock: bool) -> str:
    low, high = row["corloc"]["interval95"]
    text = f"{row['corloc']['percent']:.1f} [{low:.1f}, {high:.1f}]"
    versus = row["against_stock"]
    return text if stock else f"{text} ({versus['difference']:+.1f}, p {versus['mcnemar_p']:.2g})"


def _predicted(boxes: list[list[float]]) -> PredictedBoxes:
    return PredictedBoxes(np.array(boxes, dtype=np.float64).reshape(-1, 4), np.ones(len(boxes)))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_list_options(parser)
    add_model_option(parser)
    parser.add_argument("--adapters", nargs="*", type=Path, default=[], metavar="FILE", help="of the students")
    parser.add_argument("--views", type=int, default=1, metavar="N", help="of the teacher; 1 leaves it out")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--max-side", type=int, default=640, metavar="PX", help="0 keeps native size")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="keep the boxes of each variant there")
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    args = parse_arguments()
    photographs = open_list(args)
    chosen = variants(args)
    boxes = [boxes_of(variant, args, photographs) for variant in chosen]
    found = made_with(args) | {
        "list": photographs.name,
        "images": len(photographs.images),
        "model": args.model,
        "precision": args.precision,
        "max_side": args.max_side,
        "variants": [compare(each, one, boxes[0], photographs) for each, one in zip(chosen, boxes, strict=True)],
    }
    save(args.output, found, to_markdown(found))


if __name__ == "__main__":
    sys.exit(run_script(main))
