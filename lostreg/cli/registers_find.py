"""``lostreg registers find``: pictures in, a list of register neurons out."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from lostreg.cli.options import add_network_options, discoverer_from, output_file_argument
from lostreg.errors import ImageError, RunError, UsageError

if TYPE_CHECKING:
    from lostreg.discover import Discoverer
    from lostreg.registers.find import Found, Load
    from lostreg.registers.neuron_list import NeuronList
    from lostreg.sources import ImageItem


def add_parser(actions: Any) -> None:
    """Add the action to the parser."""
    parser = actions.add_parser(
        "find",
        help="find the hidden units that write outliers, for --registers test-time",
        description="Find a model's register neurons on pictures without labels (arXiv 2506.08010). The list goes "
        "into the cache, where --registers test-time finds it, or into a file.",
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="image, folder, glob, .txt list, .tar, or -")
    group = parser.add_argument_group("search")
    group.add_argument(
        "--output", type=output_file_argument, metavar="FILE.json", help="where the list goes (default: the cache)"
    )
    group.add_argument("--threshold", type=float, metavar="NORM", help="norm above which a patch is an outlier")
    group.add_argument(
        "--reference-layer", type=int, default=-2, metavar="INT", help="block behind which that is judged (default -2)"
    )
    group.add_argument("--top-layer", type=int, metavar="INT", help="last block to search (default: where they appear)")
    group.add_argument("--top-k", type=int, metavar="N", help="how many units (default: until the outliers are gone)")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    add_network_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    from lostreg.progress import Progress
    from lostreg.registers.find import Search, find_register_neurons
    from lostreg.registers.neuron_list import cache_path

    choose_torch(args)
    if args.top_k is not None and args.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, but it is {args.top_k}.")
    discoverer = discoverer_from(args)
    items, failures = readable(args.sources)
    loads = [_load(discoverer, item) for item in items]
    search = Search(args.threshold, args.reference_layer, args.top_layer, args.top_k)
    with Progress(None, quiet=args.quiet) as progress:
        found = find_register_neurons(discoverer.backbone, loads, search, progress.advance)
    made = _as_list(found, discoverer)
    path = args.output or cache_path(discoverer.weights)
    try:
        made.write(path)
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}; name another file with --output.") from error
    if args.json:
        print(path.read_text(encoding="utf-8"), end="")
    if not args.quiet:
        print(f"lostreg: {_summary(found)} -> {path}", file=sys.stderr, flush=True)
    return 3 if failures else 0


def choose_torch(args: argparse.Namespace) -> None:
    """Take the engine that shows what goes on inside a model, and refuse others.

    Raises:
        UsageError: another engine than torch.
    """
    if args.engine not in {None, "auto", "torch"}:
        raise UsageError(
            f"The laboratory looks inside the model, which --engine {args.engine} does not let it; use torch."
        )
    args.engine = "torch"


def readable(sources: list[str]) -> tuple[list[ImageItem], int]:
    """Return the pictures that can be read, and how many cannot; each of these is said on stderr.

    Raises:
        ImageError: not a single one can be read.
        UsageError: no picture is found.
    """
    from lostreg.sources import list_sources

    good, bad = [], 0
    for item in list_sources(sources, sys.stdin).items:
        try:
            item.read()
        except ImageError as error:
            bad += 1
            print(f"lostreg: {error.reason}: {error}", file=sys.stderr, flush=True)
        else:
            good.append(item)
    if not good:
        raise ImageError("unreadable", f"None of the {bad} pictures in {', '.join(sources)} can be read; name others.")
    return good, bad


def _load(discoverer: Discoverer, item: ImageItem) -> Load:
    from lostreg.laboratory import read_for

    return lambda: discoverer.prepare(read_for(discoverer, item))


def _as_list(found: Found, discoverer: Discoverer) -> NeuronList:
    from lostreg.registers.neuron_list import NeuronList

    weights = discoverer.weights
    return NeuronList(
        model=weights.entry.name,
        neurons=found.neurons,
        weights_sha256=weights.sha256,
        source=weights.source,
        threshold=str(found.threshold),
        reference_layer=found.reference_layer,
        top_layer=found.top_layer,
        images=found.images,
        images_with_outliers=found.images_with_outliers,
    )


def _summary(found: Found) -> str:
    if not found.neurons:
        return (
            f"no outliers behind block {found.reference_layer} on {found.images} images "
            f"({found.threshold}), so the list is empty and --registers test-time will change nothing"
        )
    return (
        f"{found.outlier_share:.2%} of the patches are outliers ({found.threshold}), on "
        f"{found.images_with_outliers} of {found.images} images; {len(found.neurons)} register neurons in blocks 0 to "
        f"{found.top_layer} leave {found.left or 0:.0%} of them"
    )
