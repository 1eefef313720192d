"""``lostreg registers distill``: pictures in, an adapter file with registers out (PH-Reg)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lostreg.cli.options import add_dataset_options, add_network_options, open_named_dataset, path_argument
from lostreg.errors import UsageError

if TYPE_CHECKING:
    from lostreg.errors import FeatureError, ImageError
    from lostreg.registers.distill import Distillation, DistillSettings
    from lostreg.settings import Precision
    from lostreg.sources import ImageItem


def add_parser(actions: Any) -> None:
    """Add the action to the parser."""
    parser = actions.add_parser(
        "distill",
        help="train registers on pictures without labels",
        description="Train registers for a ViT that has none, on pictures without labels: a student with registers "
        "learns to say of a picture at once what the stock model says of many shifted and flipped views on average "
        "(PH-Reg, arXiv 2505.21501). The same command resumes a run that was stopped.",
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="image, folder, glob, .txt list, or - for stdin")
    add_dataset_options(parser, required=False)
    parser.add_argument("--exclude-split", metavar="NAME", help="leave out the pictures of this split of the dataset")
    parser.add_argument("--limit", type=int, metavar="N", help="take the first N pictures")
    group = parser.add_argument_group("distillation")
    group.add_argument("--output", type=path_argument, required=True, metavar="DIR", help="folder of the adapter")
    group.add_argument("--registers-count", type=int, metavar="N", help="registers to add (default 4)")
    group.add_argument("--views", type=int, metavar="N", help="views of the teacher (default 8)")
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the pictures (default 3)")
    group.add_argument("--batch-size", type=int, metavar="N", help="pictures per step (default 8)")
    group.add_argument("--learning-rate", type=float, metavar="R", help="at its highest (default 2e-5)")
    group.add_argument("--seed", type=int, metavar="N", help="of the registers and of the order (default 0)")
    group.add_argument(
        "--targets",
        metavar="PARTS",
        help="what follows the teacher: x (output tokens), q, k, v, attention (default x,k,v,attention)",
    )
    group.add_argument(
        "--keep-answers",
        type=path_argument,
        metavar="DIR",
        help="keep the teacher's answers there, for other runs to read",
    )
    parser.add_argument("--json", action="store_true", help="print the settings, losses and timings as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    add_network_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    from lostreg.registers.distill import distill
    from lostreg.signals import StopRequest, orderly_stop

    plan = _plan(args)
    stop = StopRequest()
    with orderly_stop(stop):
        plan.stopped = stop
        facts = distill(plan)
    if args.json:
        print(json.dumps(facts))
    if not args.quiet:
        print(f"lostreg: {_summary(facts, args.output)}", file=sys.stderr, flush=True)
    if facts["state"] != "complete":
        return stop.exit_code
    return 3 if facts["pictures"]["failed"] else 0


def _plan(args: argparse.Namespace) -> Distillation:
    from lostreg.backbone import load_backbone
    from lostreg.devices import choose_device
    from lostreg.registers.distill import Distillation
    from lostreg.settings import DEFAULT_MAX_SIDE, InputSettings
    from lostreg.weights import resolve

    if args.precision == "fp16":
        raise UsageError("--precision fp16 is too coarse to train in; use fp32 or bf16.")
    precision: Precision = "bf16" if args.precision == "bf16" else "fp32"
    settings = _settings(args)
    max_side = DEFAULT_MAX_SIDE if args.max_side is None else args.max_side or None
    inputs = InputSettings(max_side, args.pad or "none")
    items = _items(args)
    device = choose_device(args.device or "auto")
    weights = resolve(args.model, args.checkpoint)
    backbone = load_backbone(weights.entry, weights.path, device, precision)
    return Distillation(backbone, weights, items, args.output, settings, inputs, args.keep_answers, args.quiet, _fail)


def _settings(args: argparse.Namespace) -> DistillSettings:
    from lostreg.registers.distill import DistillSettings

    given = {
        "registers": args.registers_count,
        "views": args.views,
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "learning_rate": args.learning_rate,
        "seed": args.seed,
        "targets": None if args.targets is None else tuple(args.targets.split(",")),
    }
    return DistillSettings(**{name: value for name, value in given.items() if value is not None})


def _items(args: argparse.Namespace) -> list[ImageItem]:
    """Return the pictures, which are read many times and so must be files."""
    from lostreg.datasets import open_dataset
    from lostreg.sources import ImageItem, list_sources

    if bool(args.sources) == bool(args.dataset):
        raise UsageError("Name either the pictures (SOURCE...) or a dataset (--dataset NAME --root DIR).")
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit must be at least 1, but it is {args.limit}.")
    if args.dataset:
        dataset = open_named_dataset(args)
        excluded = open_dataset(args.dataset, args.root, args.exclude_split).images if args.exclude_split else ()
        left_out = {image.key for image in excluded}
        items = [ImageItem(each.key, str(each.path), each.path) for each in dataset.images if each.key not in left_out]
    else:
        listing = list_sources(args.sources, sys.stdin)
        if listing.total is None:
            raise UsageError("Distillation reads its pictures many times, so archives and videos must be unpacked.")
        items = list(listing.items)
    if not items:
        raise UsageError(f"--exclude-split {args.exclude_split} leaves no picture over.")
    return items[: args.limit]


def _fail(item: ImageItem, error: ImageError | FeatureError) -> None:
    print(f"lostreg: {error.reason}: {error}", file=sys.stderr, flush=True)


def _summary(facts: dict[str, Any], output: Path) -> str:
    if facts["state"] != "complete":
        return f"stopped; the same command goes on from {output}"
    first, last = facts["mean_loss_by_epoch"][0], facts["mean_loss_by_epoch"][-1]
    size = facts["adapter"]["bytes"] / 1e6
    return f"loss {first:.3f} -> {last:.3f} by epoch; {output / facts['adapter']['file']} ({size:.1f} MB)"
