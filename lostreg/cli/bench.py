"""``lostreg bench``: measured speed, stage by stage, on this machine."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from lostreg.cli.options import (
    add_config_option,
    add_method_options,
    add_model_options,
    apply_config,
    discoverer_from,
)
from lostreg.errors import UsageError


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "bench",
        help="measured speed, stage by stage, on this machine",
        description="Time decoding, preprocessing, the ViT, graph, boxes and writing, and the whole, for every engine "
        "and precision that works here, in alternation. Without --engine and --precision all are measured.",
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="pictures; the ViT is timed on the first")
    parser.add_argument(
        "--sizes",
        type=_size,
        nargs="+",
        metavar="WxH",
        help="time made-up pictures of these sizes instead (default 500x375, VOC's usual size)",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs of everything (default 5)")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1], metavar="N", help="pictures per forward (default 1)"
    )
    parser.add_argument(
        "--against",
        choices=("published",),
        help="also time LOST's published procedure end to end on the same weights: eager fp32, one picture at a time",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="say nothing on stderr")
    add_model_options(parser)
    add_method_options(parser)
    add_config_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from lostreg.bench import measure, to_text
    from lostreg.cli.doctor import package_versions

    apply_config(args)
    plan = _plan(args)
    args.engine, args.precision = "torch", None  # the plan has them
    found = measure(discoverer_from(args), plan, _silent if args.quiet else _say)
    found["versions"] = package_versions()
    print(json.dumps(found, indent=2) if args.json else to_text(found))
    return 0


def _plan(args: argparse.Namespace) -> Any:
    from lostreg.bench import BenchPlan
    from lostreg.sources import list_sources

    for option, value in (("--rounds", args.rounds), *(("--batch-sizes", size) for size in args.batch_sizes)):
        if value < 1:
            raise UsageError(f"{option} must be at least 1, but it is {value}.")
    if args.sources and args.sizes:
        raise UsageError("Name either pictures (SOURCE...) or --sizes of made-up ones.")
    listed = list(list_sources(args.sources, sys.stdin).items) if args.sources else []
    pictures = tuple(item.content for item in listed if isinstance(item.content, Path))
    if len(pictures) < len(listed):
        raise UsageError("lostreg bench takes picture files, folders and lists, but an archive or a video is named.")
    engine, precision = (None if given == "auto" else given for given in (args.engine, args.precision))
    plan = BenchPlan(pictures, engine, precision, tuple(args.batch_sizes), args.rounds, args.against is not None)
    return replace(plan, sizes=tuple(args.sizes)) if args.sizes else plan


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"a size must be like 500x375, width by height in pixels, but it is {text!r}")
    return int(match[1]), int(match[2])


def _say(line: str) -> None:
    print(f"lostreg: measuring {line}", file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    pass
