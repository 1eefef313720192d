"""A fitted head on photographs that it was not fitted on: every photograph of a list is scored once.

The list, such as dev2000 without dev500, is cut into two halves, its photographs in turn. Each half is scored by a
head that was fitted, without labels, on the other half and on the photographs that the list leaves out::

    python eval/crossfit.py --root VOCdevkit --split dev2000 --exclude-split dev500 --precision bf16 \\
        --output eval/results/crossfit-dev1500

Written are ``OUTPUT.json`` and ``OUTPUT.md``: CorLoc with its 95 % bootstrap interval, beside head consensus on the
same features, which needs no fit, and the paired comparison of the two (McNemar's exact test). Features are read from
the cache of ``lostreg fit``, whose tokens are in half precision.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from photographs import PhotographList, add_list_options, add_model_option, made_with, open_list, save
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.datasets import DatasetImage, open_dataset
from lostreg.evaluate import Evaluation, compare_runs, evaluate
from lostreg.fit.cache import FeatureCache, picture_key
from lostreg.fit.extract import Extractor, cache_settings
from lostreg.fit.holdout import consensus_box, head_box
from lostreg.fit.plan import EPOCHS, Fit, FitPlan
from lostreg.heads import KINDS, Head
from lostreg.images import read_photograph
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.settings import PRECISIONS
from lostreg.sources import ImageItem

Boxes = dict[str, PredictedBoxes]


def fit_on(discoverer: Discoverer, cache: FeatureCache, plan: FitPlan, images: list[DatasetImage]) -> tuple[Head, Fit]:
    """Fit a head on photographs; one that cannot be read ends the script."""

    def fail(item: ImageItem, error: Exception) -> None:
        raise error

    fit = Fit(discoverer, cache, plan)
    items = [ImageItem(image.key, str(image.path), image.path) for image in images]
    head, _ = fit.run(items, len(items), fail, lambda stage: print(stage, file=sys.stderr, flush=True), upright=False)
    return head, fit


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


def crossfit(args: argparse.Namespace, photographs: PhotographList) -> dict[str, Any]:
    """Fit twice, score every photograph once, and return all figures."""
    discoverer = Discoverer(args.model, device=args.device, engine="torch", precision=args.precision)
    cache = FeatureCache(cache_settings(discoverer), max_bytes=40 * 10**9)
    left_out = list(open_dataset("voc07", args.root, args.exclude_split).images) if args.exclude_split else []
    plan = FitPlan(args.kind, args.seed, args.epochs, args.composites)
    halves = [list(photographs.images[start::2]) for start in (0, 1)]
    fitted: Boxes = {}
    plain: Boxes = {}
    fits = []
    extract(discoverer, cache, photographs.images)
    for half, other in (halves, halves[::-1]):
        head, fit = fit_on(discoverer, cache, plan, left_out + other)
        score(head, cache, half, fitted, plain)
        fits.append({**head.to_json(), **fit.to_json()})
    return figures(args, photographs, fitted, plain) | {"fits": fits}


def extract(discoverer: Discoverer, cache: FeatureCache, images: Sequence[DatasetImage]) -> None:
    """Bring the features of photographs into the cache."""
    extractor = Extractor(discoverer, cache)
    for image in tqdm(images, unit="photograph", mininterval=5):
        extractor(read_photograph(image.path, upright=False), keep_rgb=True)


def figures(args: argparse.Namespace, photographs: PhotographList, fitted: Boxes, plain: Boxes) -> dict[str, Any]:
    """Evaluate both recipes and compare them."""
    results = [evaluate(photographs.truths, Predictions("crossfit", boxes)) for boxes in (plain, fitted)]
    versus = compare_runs(*results)
    return {
        **made_with(args),
        "head_consensus": results[0].to_json(),
        "fitted": results[1].to_json(),
        "comparison": {
            "only_head_consensus": versus.only_first,
            "only_fitted": versus.only_second,
            "difference": versus.difference,
            "interval95": list(versus.interval),
            "mcnemar_p": versus.p_value,
        },
        "list": photographs.name,
        "rows": [row(name, result) for name, result in zip(("head consensus", "fitted"), results, strict=True)],
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
    versus, fit = found["comparison"], found["fits"][0]["provenance"]
    precision = fit["features"]["precision"]
    counts = [each["provenance"]["counts"] for each in found["fits"]]
    lines = [
        f"# Fitted heads on photographs that they did not see: VOC2007 {found['list']}, "
        f"{found['fitted']['images']} photographs, {found['fits'][0]['model']}",
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
        f"Fitted less head consensus: {versus['difference']:+.1f} [{versus['interval95'][0]:+.1f}, "
        f"{versus['interval95'][1]:+.1f}]; {versus['only_fitted']} only the fitted heads hit, "
        f"{versus['only_head_consensus']} only head consensus, McNemar p = {versus['mcnemar_p']:.2g}.",
    ]
    return "\n".join(lines) + "\n"


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
    args = parser.parse_args()
    found = crossfit(args, open_list(args))
    save(Path(args.output), found, to_markdown(found))


if __name__ == "__main__":
    main()
