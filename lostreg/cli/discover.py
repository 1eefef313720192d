"""``lostreg discover``: photographs in, objects out."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from lostreg.cli.collector import Collector
from lostreg.cli.listing import gone_failures, in_this_shard, keys_of, list_pictures, remaining
from lostreg.cli.options import (
    add_config_option,
    add_dataset_options,
    add_method_options,
    add_model_options,
    apply_config,
    check_dataset_options,
    discoverer_from,
    path_argument,
)
from lostreg.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lostreg.batch import BatchPlan
    from lostreg.discover import Discoverer
    from lostreg.discovery import Discovery
    from lostreg.images import Photograph
    from lostreg.records import Record
    from lostreg.runfolder import RunFolder
    from lostreg.sources import Listing

WORTH_LANES = 8
"""Pictures from which on it pays to set the engine up for several forwards at once."""

MOST_WORKERS = 16
"""Decoding threads beside a GPU, where no core is needed for the ViT."""

MOST_AT_ONCE = 1024
"""Pictures of a batch, and decoding threads."""

OVERLAYS_UP_TO = 100
"""Without --overlays or --no-overlays, runs of up to so many pictures get them."""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "discover",
        help="find objects in photographs",
        description="Find objects in photographs. With --output everything goes into a run folder, and the same "
        "command resumes it; without, the boxes are printed and nothing is written.",
    )
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="image, folder, glob, .txt list, .tar, video, or - for stdin"
    )
    add_dataset_options(parser, required=False)
    run_group = parser.add_argument_group("run")
    run_group.add_argument("--output", type=path_argument, metavar="RUN", help="run folder")
    run_group.add_argument("--overwrite", action="store_true", help="delete the run folder's results and start anew")
    run_group.add_argument("--retry-failed", action="store_true", help="try the pictures again that failed before")
    run_group.add_argument(
        "--overlays",
        action=argparse.BooleanOptionalAction,
        help=f"pictures with boxes and masks (default: up to {OVERLAYS_UP_TO} pictures, no --dataset)",
    )
    run_group.add_argument(
        "--shard", metavar="i/n", help="do the i-th of n parts (i from 1), chosen by a hash of the key"
    )
    run_group.add_argument("--batch-size", type=int, metavar="N", help="pictures per forward (default: CPU 1, GPU 16)")
    run_group.add_argument("--workers", type=int, metavar="N", help="decoding threads (default: CPU 2, GPU one a core)")
    run_group.add_argument("--every", type=int, default=1, metavar="N", help="of a video, take every N-th frame")
    run_group.add_argument("--max-pixels", type=int, metavar="N", help="refuse larger pictures (default 64000000)")
    run_group.add_argument("--json", action="store_true", help="print one JSON record per picture on stdout")
    run_group.add_argument("--quiet", action="store_true", help="no progress and no summary")
    add_model_options(parser)
    add_method_options(parser)
    add_config_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from lostreg.batch import run_batch
    from lostreg.progress import Progress
    from lostreg.signals import StopRequest, orderly_stop

    _check(args)
    apply_config(args)
    stop = StopRequest()
    listing, tally = list_pictures(args, stop)
    _keep_recorded_choices(args)
    discoverer = discoverer_from(args)
    # VOC and COCO annotate the stored frame, so a dataset's pictures are not turned upright
    identity = discoverer.identity(upright=args.dataset is None)
    with ExitStack() as stack:
        folder = _open_folder(args, identity, stack)
        grids = _common_grids(args, discoverer, listing)
        mine = in_this_shard(args, listing)
        rest, resumed = remaining(args, mine, folder)
        discoverer = _for_many(discoverer, rest.total, grids)
        plan = _plan(args, discoverer, identity)
        progress = stack.enter_context(Progress(rest.total, quiet=args.quiet))
        results = Collector(folder, progress, as_json=args.json, quiet=args.quiet)
        if folder is not None:
            folder.begin(_call(args), keys_of(mine), **_header(args, discoverer), grids_of_their_own=grids)
        draw = _overlay_writer(args, mine.total)
        finished = False
        stack.enter_context(orderly_stop(stop))
        try:
            run_batch(discoverer, rest.items, results, plan, on_discovery=draw, stopped=stop)
            finished = not stop()
        finally:
            gone = gone_failures(args, folder, resumed) if folder is not None and finished else set()
            results.save_counts(_call(args), tally, gone, finished=finished)
        results.say_counts(resumed.elsewhere, finished=finished)
    if stop():
        return stop.exit_code
    return 3 if results.failures else 0


def _check(args: argparse.Namespace) -> None:
    for name in ("batch_size", "workers", "every", "max_pixels"):
        option, value = f"--{name.replace('_', '-')}", getattr(args, name)
        if value is not None and value < 1:
            raise UsageError(f"{option} must be at least 1, but it is {value}.")
        if name in {"batch_size", "workers"} and value is not None and value > MOST_AT_ONCE:
            raise UsageError(f"{option} must be at most {MOST_AT_ONCE}, but it is {value}.")
    if bool(args.sources) == bool(args.dataset):
        raise UsageError("Name either the pictures (SOURCE...) or a dataset (--dataset NAME --root DIR).")
    check_dataset_options(args)
    if args.output is None:
        for option in ("overwrite", "retry_failed", "overlays"):
            if getattr(args, option):
                raise UsageError(f"--{option.replace('_', '-')} needs a run folder; name one with --output.")


def _keep_recorded_choices(args: argparse.Namespace) -> None:
    """Resume a run with its own model and engine where none is named, so that what comes and goes changes nothing."""
    from lostreg.layout import has_header
    from lostreg.runreader import read_header

    if args.output is None or args.overwrite or not has_header(args.output):
        return
    identity = read_header(args.output)["identity"]
    model, engine = (kept if isinstance(kept := identity.get(name), str) else None for name in ("model", "engine"))
    if args.model is None and args.checkpoint is None:
        args.model = model
    if args.engine in {None, "auto"}:
        args.engine = engine


def _common_grids(args: argparse.Namespace, discoverer: Discoverer, listing: Listing) -> list[tuple[int, int]]:
    """Return the grids that the engine shall know beforehand, of all pictures, other shards' and done ones too."""
    from lostreg.engines import most_own_grids
    from lostreg.grids import WORTH_A_MODEL, common_grids

    vit = discoverer.backbone
    most = most_own_grids(discoverer.engine, vit.model)
    items = [] if listing.total is None or most == 0 else list(listing.items)
    grids = common_grids(items, vit.spec, discoverer.input_settings, upright=args.dataset is None, most=most)
    if discoverer.engine.name == "compiled" and not grids and not args.quiet:
        print(
            f"lostreg: nothing is compiled, since no {WORTH_A_MODEL} of the listed pictures share a grid of patches; "
            "this run is as with --engine torch",
            file=sys.stderr,
        )
    return grids


def _for_many(discoverer: Discoverer, total: int | None, grids: list[tuple[int, int]]) -> Discoverer:
    """Run several forwards at once where the engine gains by it; a few pictures would not repay the second set-up."""
    from lostreg.engines import lanes_for_many

    lanes = lanes_for_many(discoverer.engine.name) if total is None or total >= WORTH_LANES else 1
    if lanes == 1 and not grids:
        return discoverer
    return discoverer.with_engine(discoverer.engine.name, discoverer.precision, lanes, grids)


def _plan(args: argparse.Namespace, discoverer: Discoverer, identity: dict[str, Any]) -> BatchPlan:
    from lostreg.batch import BatchPlan
    from lostreg.images import MAX_PIXELS
    from lostreg.settings import fingerprint

    on_cpu = discoverer.backbone.device.type == "cpu"
    return BatchPlan(
        settings=fingerprint(identity),
        batch_size=args.batch_size or (1 if on_cpu else 16),
        workers=args.workers or (2 if on_cpu else min(MOST_WORKERS, os.cpu_count() or 1)),
        lanes=discoverer.engine.lanes,
        upright=args.dataset is None,
        max_pixels=args.max_pixels or MAX_PIXELS,
    )


def _open_folder(args: argparse.Namespace, identity: dict[str, Any], stack: ExitStack) -> RunFolder | None:
    from lostreg.layout import has_header
    from lostreg.runfolder import RunFolder
    from lostreg.runreader import read_header

    if args.output is None:
        return None
    if has_header(args.output) and not args.overwrite:
        kept = read_header(args.output).get("shard", args.shard)
        if kept != args.shard:
            raise RunError(
                f"{args.output} was made with --shard {kept or 'left out'}, and now it is {args.shard or 'left out'}; "
                "give each shard a run folder of its own."
            )
    return stack.enter_context(RunFolder(args.output, identity, overwrite=args.overwrite))


def _call(args: argparse.Namespace) -> dict[str, Any]:
    """Return what names the pictures of this call."""
    sources = [source if source == "-" else os.path.abspath(source) for source in args.sources]  # noqa: PTH100
    annotations = None if args.annotations is None else str(args.annotations)
    return {"sources": sources, "dataset": _dataset_named(args), "annotations": annotations, "every": args.every}


def _dataset_named(args: argparse.Namespace) -> dict[str, Any] | None:
    return {"name": args.dataset, "root": str(args.root), "split": args.split} if args.dataset else None


def _header(args: argparse.Namespace, discoverer: Discoverer) -> dict[str, Any]:
    from lostreg.cli.doctor import package_versions
    from lostreg.methods.fitted import NAME as FITTED

    weights = discoverer.weights
    return {
        "weights": {
            "timm_id": weights.entry.timm_id,
            "source": weights.source,
            "sha256": weights.sha256,
            "licence": weights.entry.licence,
            "note": weights.note,
        },
        "registers": args.registers,
        "head": discoverer.fitted_head().to_json() if discoverer.settings.method == FITTED else None,
        "device": str(discoverer.backbone.device),
        "engine_note": discoverer.engine_note,
        "sources": args.sources,
        "dataset": _dataset_named(args),
        "shard": args.shard,
        "listed": args.listed,
        "versions": package_versions(),
    }


def _overlay_writer(args: argparse.Namespace, total: int | None) -> Callable[[Record, Discovery, Photograph], None]:
    from lostreg.overlays import write_overlay

    wanted = args.overlays
    if wanted is None:
        small = total is not None and total <= OVERLAYS_UP_TO
        wanted = args.output is not None and args.dataset is None and small

    def draw(record: Record, discovery: Discovery, photograph: Photograph) -> None:
        if wanted:
            write_overlay(args.output, record, discovery, photograph)

    return draw
