"""``lostreg registers inspect``: what a model's tokens show of artifacts, in figures and on a page."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from lostreg.cli.options import add_network_options, add_registers_option, discoverer_from, path_argument
from lostreg.cli.registers_find import choose_torch, readable
from lostreg.errors import RunError, UsageError

if TYPE_CHECKING:
    from lostreg.discover import Discoverer
    from lostreg.laboratory import Inspected
    from lostreg.sources import ImageItem


def add_parser(actions: Any) -> None:
    """Add the action to the parser."""
    parser = actions.add_parser(
        "inspect",
        help="token norms, outliers and attention maps, on a page",
        description="Look for artifacts: token norms behind every block, outliers, where they sit and where they "
        "appear, attention maps of CLS and registers, and what LOST makes of it. Writes DIR/report.html and "
        "DIR/inspection.json.",
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="image, folder, glob, .txt list, .tar, or -")
    group = parser.add_argument_group("inspection")
    group.add_argument(
        "--output", type=path_argument, required=True, metavar="DIR", help="where the page and the figures go"
    )
    group.add_argument(
        "--against", metavar="WHICH", help="a second model, or registers for the same one, shown side by side"
    )
    group.add_argument("--threshold", type=float, metavar="NORM", help="norm above which a patch is an outlier")
    group.add_argument(
        "--reference-layer", type=int, default=-2, metavar="INT", help="block behind which that is judged (default -2)"
    )
    group.add_argument(
        "--probe", action="store_true", help="train linear probes of position and pixels on normal and outlier tokens"
    )
    group.add_argument("--shown", type=int, default=6, metavar="N", help="pictures on the page (default 6)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    add_registers_option(add_network_options(parser))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    from lostreg.files import write_text_whole
    from lostreg.report.registers import registers_page

    choose_torch(args)
    if args.shown < 0:
        raise UsageError(f"--shown must be 0 or more, but it is {args.shown}.")
    discoverers = [discoverer_from(args)]
    if args.against is not None:
        discoverers.append(_other(args))
    items, failures = readable(args.sources)
    looks = [_look(args, each, items) for each in discoverers]
    facts = {"command": "lostreg registers inspect", "models": [each.to_json() for each in looks]}
    text = json.dumps(facts, indent=1, allow_nan=False) + "\n"
    try:
        write_text_whole(args.output / "inspection.json", text)
        write_text_whole(args.output / "report.html", registers_page(looks, args.shown))
    except OSError as error:
        raise RunError(f"Cannot write into {args.output}: {error.strerror or error}; name another --output.") from error
    if args.json:
        print(text, end="")
    if not args.quiet:
        for each in looks:
            print(f"lostreg: {each.name}: {each.verdict()}", file=sys.stderr, flush=True)
        print(f"lostreg: -> {args.output / 'report.html'}", file=sys.stderr, flush=True)
    return 3 if failures else 0


def _other(args: argparse.Namespace) -> Discoverer:
    """Build what the first model is compared with: the same with other registers, or another model."""
    from lostreg.registers.choice import RegisterChoice

    try:
        RegisterChoice.parse(args.against)
        changes = {"registers": args.against}
    except UsageError:
        changes = {"model": args.against, "checkpoint": None, "registers": None}
    return discoverer_from(argparse.Namespace(**{**vars(args), **changes}))


def _look(args: argparse.Namespace, discoverer: Discoverer, items: list[ImageItem]) -> Inspected:
    from lostreg.laboratory import look_at
    from lostreg.progress import Progress

    layer = discoverer.backbone.block_index(args.reference_layer)
    with Progress(len(items), quiet=args.quiet) as progress:
        return look_at(discoverer, items, layer, args.threshold, probe=args.probe, advance=progress.advance)
