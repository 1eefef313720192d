"""``lostreg fit``: a head from unlabelled photographs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lostreg.cli.options import (
    add_dataset_options,
    add_model_options,
    discoverer_from,
    open_named_dataset,
    path_argument,
)
from lostreg.errors import RunError, UsageError

if TYPE_CHECKING:
    from lostreg.errors import FeatureError, ImageError
    from lostreg.fit.plan import Fit
    from lostreg.heads import Head
    from lostreg.sources import ImageItem, Listing

HEAD, REPORT, CHART = "head.safetensors", "fit.json", "loss.png"
# as in lostreg.heads.KINDS and lostreg.fit, which would import torch
KINDS = ("vote", "logistic")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "fit",
        help="fit a head on your own photographs, without labels",
        description="Fit a small network on unlabelled photographs, in minutes on a CPU. Features are kept in the "
        "cache, so the same command goes on after a stop. `lostreg discover --head FOLDER/head.safetensors` uses it.",
    )
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="image, folder, glob, .txt list, .tar, video, or - for stdin"
    )
    add_dataset_options(parser, required=False)
    group = parser.add_argument_group("fit")
    group.add_argument("--exclude-split", metavar="NAME", help="leave out the pictures of this split of the dataset")
    group.add_argument(
        "--output", type=path_argument, required=True, metavar="FOLDER", help=f"for {HEAD}, {REPORT}, {CHART}"
    )
    group.add_argument("--overwrite", action="store_true", help="replace a head that is there")
    group.add_argument("--kind", choices=KINDS, default="vote", help="of head (default vote; logistic is smaller)")
    group.add_argument("--seed", type=int, default=0, metavar="INT", help="of everything random (default 0)")
    group.add_argument("--epochs", type=int, default=6, metavar="N", help="of the vote net (default 6)")
    group.add_argument(
        "--composites", type=int, metavar="N", help="pictures made by copy and paste (default: two each, up to 1600)"
    )
    group.add_argument("--cache-gb", type=float, default=8, metavar="GB", help="of features on disk (default 8)")
    group.add_argument("--every", type=int, default=1, metavar="N", help="of a video, take every N-th frame")
    group.add_argument("--json", action="store_true", help=f"print {REPORT} on stdout")
    group.add_argument("--quiet", action="store_true", help="no progress and no summary")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit a head and write it."""
    from lostreg.fit.cache import FeatureCache
    from lostreg.fit.extract import cache_settings
    from lostreg.fit.plan import Fit, FitPlan

    _check(args)
    plan = FitPlan(kind=args.kind, seed=args.seed, epochs=args.epochs, composites=args.composites)
    listing = _listing(args)
    discoverer = discoverer_from(args)
    fit = Fit(discoverer, FeatureCache(cache_settings(discoverer), int(args.cache_gb * 1e9)), plan, args.quiet)

    def say(stage: str) -> None:
        if not args.quiet:
            print(f"lostreg: {stage}", file=sys.stderr, flush=True)

    # VOC and COCO annotate the stored frame, so a dataset's pictures are not turned upright
    head, content = fit.run(listing.items, listing.total, _fail, say, upright=args.dataset is None)
    report = {**head.to_json(), **fit.to_json()}
    _write(args.output, content, fit, report)
    if args.json:
        print(json.dumps(report))
    if not args.quiet:
        print(f"lostreg: {_summary(head, fit)} -> {args.output / HEAD}", file=sys.stderr, flush=True)
    return 3 if fit.counts["failed"] else 0


def _check(args: argparse.Namespace) -> None:
    if bool(args.sources) == bool(args.dataset):
        raise UsageError("Name either the pictures (SOURCE...) or a dataset (--dataset NAME --root DIR).")
    if args.exclude_split is not None and args.dataset is None:
        raise UsageError("--exclude-split needs the dataset that it is a split of: --dataset NAME --root DIR.")
    for option, value in (("--cache-gb", args.cache_gb), ("--every", args.every)):
        if value <= 0:
            raise UsageError(f"{option} must be above 0, but it is {value}.")
    if (args.output / HEAD).exists() and not args.overwrite:
        raise RunError(f"There is a head in {args.output} already; use --overwrite or another --output.")


def _listing(args: argparse.Namespace) -> Listing:
    from lostreg.datasets import open_dataset
    from lostreg.sources import ImageItem, Listing, list_sources

    if args.dataset is None:
        return list_sources(args.sources, sys.stdin, every=args.every)
    left_out: set[str] = set()
    if args.exclude_split is not None:
        left_out = {image.key for image in open_dataset(args.dataset, args.root, args.exclude_split).images}
    images = [image for image in open_named_dataset(args).images if image.key not in left_out]
    return Listing([ImageItem(image.key, str(image.path), image.path) for image in images], len(images))


def _fail(item: ImageItem, error: ImageError | FeatureError) -> None:
    print(f"lostreg: {error.reason}: {error}", file=sys.stderr, flush=True)


def _write(folder: Path, content: bytes, fit: Fit, report: dict[str, Any]) -> None:
    """Write the head last, so that where it is, the rest is too."""
    from lostreg.chart import loss_chart
    from lostreg.files import write_text_whole, written_whole

    try:
        write_text_whole(folder / REPORT, json.dumps(report, indent=1) + "\n")
        for path, data in ((folder / CHART, loss_chart(*fit.curves())), (folder / HEAD, content)):
            with written_whole(path) as temporary:
                temporary.write_bytes(data)
    except OSError as error:
        raise RunError(f"Cannot write to {folder}: {error.strerror or error}; choose another --output.") from error


def _summary(head: Head, fit: Fit) -> str:
    from lostreg.progress import duration

    held_out, counts = fit.held_out, fit.counts
    wall = sum(stage["wall"] for stage in fit.stages.values())
    return (
        f"{head.info.kind} head of {counts['fitted']} photographs and {counts['composites']} composites in "
        f"{duration(wall)}; on {held_out['photographs']} held-out photographs it agrees with head consensus on "
        f"{held_out['agree_with_head_consensus']}"
    )
