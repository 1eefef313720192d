"""A fitted head on photographs that it was not fitted on: every photograph of a list is scored once.

The list, such as dev2000 without dev500, is cut into two halves, its photographs in turn. Each half is scored by a
head that was fitted, without labels, on the other half and on the photographs that the list leaves out::

    python eval/crossfit.py --root VOCdevkit --split dev2000 --exclude-split dev500 --precision bf16 \\
        --output eval/results/crossfit-dev1500

Written are ``OUTPUT.json`` and ``OUTPUT.md``: CorLoc with its 95 % bootstrap interval, beside head consensus on the
same features, which needs no fit, and the paired comparison of the two (McNemar's exact test). Features are read from
the cache of ``lostreg fit``, whose tokens are in half precision. With ``--looks 5`` each head also scores its half with
so many looks, as ``lostreg discover --head FILE --looks 5`` does::

    python eval/crossfit.py --root VOCdevkit --split dev2000 --exclude-split dev500 --precision bf16 --composites 800 \\
        --looks 5 --looks-engine openvino --output eval/results/crossfit-dev1500
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from photographs import PhotographList, add_list_options, add_model_option, made_with, open_list, save
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.cli import run_script
from lostreg.datasets import DatasetImage, open_dataset
from lostreg.evaluate import Evaluation, compare_runs, evaluate
from lostreg.fit.cache import FeatureCache, picture_key
from lostreg.fit.extract import Extractor, cache_settings
from lostreg.fit.holdout import consensus_box, head_box
from lostreg.fit.plan import EPOCHS, Fit, FitPlan
from lostreg.heads import KINDS, Head
from lostreg.images import read_photograph
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.settings import ENGINES, PRECISIONS
from lostreg.sources import ImageItem

Boxes = dict[str, PredictedBoxes]

PLAIN, FITTED, POOLED = "head consensus", "fitted", "fitted, several looks"


def fit_on(
    discoverer: Discoverer, cache: FeatureCache, plan: FitPlan, images: list[DatasetImage]
) -> tuple[Head, bytes, Fit]:
    """Fit a head on photographs, of which each must be readable; return it, the content of its file, and the fit."""

    def fail(item: ImageItem, error: Exception) -> None:
        raise error

    fit = Fit(discoverer, cache, plan)
    items = [ImageItem(image.key, str(image.path), image.path) for image in images]
    said = fit.run(items, len(items), fail, lambda stage: print(stage, file=sys.stderr, flush=True), upright=False)
    return *said, fit


def score(head: Head, cache: FeatureCache, images: list[DatasetImage], fitted: Boxes, plain: Boxes) -> None:
    """Find the boxes of photographs, with the head and by head consensus."""
    for image in images:
        key = picture_key(read_photograph(image.path, upright=False))
        entry = cache.load(key)
        assert entry is not None, f"{image.key} was not extracted"
        picture = entry.picture(key)
        width, height = picture.frame.content_wh
        for boxes, found in ((fitted, head_box(head.net, picture, entry.tokens)), (plain, consensus_box(picture))):
            box = np.minimum(found * picture.frame.patch_size, (width, height, width, height))
            boxes[image.key] = PredictedBoxes(box[None], np.ones(1))


def score_looks(args: argparse.Namespace, head: bytes, images: list[DatasetImage], pooled: Boxes) -> None:
    """Find the boxes of photographs with a head's file, looking at each several times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.safetensors"
        path.write_bytes(head)
        discoverer = Discoverer(
            args.model,
            device=args.device,
            precision=args.precision,
            engine=args.looks_engine,
            head=path,
            looks=args.looks,
        )
    for image in tqdm(images, unit="photograph", mininterval=5):
        found = discoverer(read_photograph(image.path, upright=False))
        pooled[image.key] = PredictedBoxes(found.boxes_xyxy, found.scores)


def crossfit(args: argparse.Namespace, photographs: PhotographList) -> dict[str, Any]:
    """Fit twice, score every photograph once, and return all figures."""
    discoverer = Discoverer(args.model, device=args.device, engine="torch", precision=args.precision)
    cache = FeatureCache(cache_settings(discoverer), max_bytes=40 * 10**9)
    left_out = list(open_dataset("voc07", args.root, args.exclude_split).images) if args.exclude_split else []
    plan = FitPlan(args.kind, args.seed, args.epochs, args.composites)
    halves = [list(photographs.images[start::2]) for start in (0, 1)]
    boxes: dict[str, Boxes] = {PLAIN: {}, FITTED: {}, POOLED: {}}
    fits = []
    extract(discoverer, cache, photographs.images)
    for half, other in (halves, halves[::-1]):
        head, content, fit = fit_on(discoverer, cache, plan, left_out + other)
        score(head, cache, half, boxes[FITTED], boxes[PLAIN])
        if args.looks > 1:
            score_looks(args, content, half, boxes[POOLED])
        fits.append({**head.to_json(), **fit.to_json()})
    return figures(args, photographs, {name: found for name, found in boxes.items() if found}) | {"fits": fits}


def extract(discoverer: Discoverer, cache: FeatureCache, images: Sequence[DatasetImage]) -> None:
    """Bring the features of photographs into the cache."""
    extractor = Extractor(discoverer, cache)
    for image in tqdm(images, unit="photograph", mininterval=5):
        extractor(read_photograph(image.path, upright=False), keep_rgb=True)


def figures(args: argparse.Namespace, photographs: PhotographList, boxes: dict[str, Boxes]) -> dict[str, Any]:
    """Evaluate the recipes and compare each with all before it."""
    results = {name: evaluate(photographs.truths, Predictions(name, found)) for name, found in boxes.items()}
    pairs = [(before, name) for name in results for before in list(results)[: list(results).index(name)]]
    return {
        **made_with(args),
        "list": photographs.name,
        "looks": args.looks,
        "looks_engine": args.looks_engine,
        "recipes": {name: result.to_json() for name, result in results.items()},
        "comparisons": [comparison(*pair, *(results[name] for name in pair)) for pair in pairs],
        "rows": [row(name, result) for name, result in results.items()],
    }


def comparison(before: str, name: str, first: Evaluation, second: Evaluation) -> dict[str, Any]:
    """Compare two recipes on the same photographs."""
    versus = compare_runs(first, second)
    return {
        "first": before,
        "second": name,
        "only_first": versus.only_first,
        "only_second": versus.only_second,
        "difference": versus.difference,
        "interval95": list(versus.interval),
        "mcnemar_p": versus.p_value,
    }


def row(name: str, result: Evaluation) -> str:
    """Return a line of the table."""
    low, high = result.interval
    return (
        f"| {name} | {result.corloc.percent:.1f} [{low:.1f}, {high:.1f}] | {result.corloc.hits} "
        f"| {result.mean_best_iou:.3f} |"
    )


def to_markdown(found: dict[str, Any]) -> str:
    """Return the table."""
    fit = found["fits"][0]["provenance"]
    precision = fit["features"]["precision"]
    counts = [each["provenance"]["counts"] for each in found["fits"]]
    lines = [
        f"# Fitted heads on photographs that they did not see: VOC2007 {found['list']}, "
        f"{found['recipes'][FITTED]['images']} photographs, {found['fits'][0]['model']}",
        "",
        f"    {found['command']}",
        "",
        f"Two {fit['kind']} heads, seed {fit['seed']}, {precision}, fitted on "
        + " and ".join(f"{each['fitted']} photographs and {each['composites']} composites" for each in counts)
        + "; each scores the half that the other one saw. Head consensus reads the same features and is not fitted.",
        "",
        "| recipe | CorLoc [95 %] | hits | mean best IoU |",
        "|---|---|---|---|",
        *found["rows"],
        "",
        "| | difference [95 %] | only the first hits | only the second | McNemar p |",
        "|---|---|---|---|---|",
        *map(_comparison_row, found["comparisons"]),
    ]
    return "\n".join(lines) + "\n"


def _comparison_row(versus: dict[str, Any]) -> str:
    low, high = versus["interval95"]
    return (
        f"| {versus['first']}, {versus['second']} | {versus['difference']:+.1f} [{low:+.1f}, {high:+.1f}] "
        f"| {versus['only_first']} | {versus['only_second']} | {versus['mcnemar_p']:.2g} |"
    )


def main() -> None:
    """Fit, score and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_list_options(parser)
    add_model_option(parser)
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the ViT, for fitting and scoring")
    parser.add_argument("--kind", choices=KINDS, default="vote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--composites", type=int, help="per fit")
    parser.add_argument("--looks", type=int, default=1, help="also score with so many looks")
    parser.add_argument("--looks-engine", choices=ENGINES, default="torch", help="that runs them")
    args = parser.parse_args()
    found = crossfit(args, open_list(args))
    save(Path(args.output), found, to_markdown(found))


if __name__ == "__main__":
    sys.exit(run_script(main))
