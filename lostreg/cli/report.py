"""``lostreg report``: one HTML page about a run."""

from __future__ import annotations

import argparse
from typing import Any

from lostreg.cli.options import (
    add_dataset_options,
    check_dataset_options,
    open_named_dataset,
    output_file_argument,
    path_argument,
)
from lostreg.errors import UsageError


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="one HTML page about a run: figures, plots, pictures",
        description="Write one HTML page that holds everything it shows, to be opened in any browser or sent by mail.",
    )
    parser.add_argument("run_folder", metavar="RUN", type=path_argument, help="the run folder")
    add_dataset_options(parser, required=False)
    parser.add_argument("--no-hard", action="store_true", help="VOC: leave out difficult and truncated objects")
    parser.add_argument("--maps", action="store_true", help="run the model again for the pictures shown, for its maps")
    parser.add_argument("--seed", type=int, default=0, metavar="INT", help="of the random pictures (default 0)")
    parser.add_argument(
        "--output", type=output_file_argument, metavar="FILE.html", help="the page (default: RUN/report.html)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    _check(args)
    from lostreg.report import write_report

    dataset = open_named_dataset(args) if args.dataset is not None else None
    output = args.output or args.run_folder / "report.html"
    path = write_report(args.run_folder, output, dataset=dataset, no_hard=args.no_hard, maps=args.maps, seed=args.seed)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.seed < 0:
        raise UsageError(f"--seed must be 0 or more, but it is {args.seed}.")
    check_dataset_options(args)
