"""``lostreg eval``: how often the boxes hit an annotated object, and how sure that is."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lostreg.cli.options import add_dataset_options, open_named_dataset, output_file_argument, path_argument
from lostreg.errors import RunError, UsageError

if TYPE_CHECKING:
    from lostreg.evaluate import Evaluation
    from lostreg.metrics.corloc import Share
    from lostreg.metrics.intervals import Comparison


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "eval",
        help="CorLoc and more of a run or a file of predictions",
        description="Compare predicted boxes with a dataset's annotations. The first object of a picture counts for "
        "CorLoc; a picture without a prediction is a miss.",
    )
    parser.add_argument(
        "predictions", type=path_argument, metavar="RUN|PREDICTIONS.json", help="run folder, COCO results, boxes"
    )
    add_dataset_options(parser, required=True)
    parser.add_argument("--no-hard", action="store_true", help="VOC: leave out difficult and truncated objects")
    parser.add_argument(
        "--compare", type=path_argument, metavar="OTHER", help="a second run or file, tested on the same pictures"
    )
    parser.add_argument("--published", action="store_true", help="print the literature's rows beside this one")
    parser.add_argument("--seed", type=int, default=0, metavar="INT", help="of the bootstrap intervals (default 0)")
    parser.add_argument(
        "--json",
        type=output_file_argument,
        metavar="FILE|-",
        help="write all figures as JSON; - prints them instead of the table",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print a table or JSON."""
    from lostreg.evaluate import compare_runs, evaluate
    from lostreg.predictions import read_predictions

    if args.seed < 0:
        raise UsageError(f"--seed must be 0 or more, but it is {args.seed}.")
    dataset = open_named_dataset(args)
    truths = dataset.truths()
    results = [
        evaluate(truths, read_predictions(path, dataset.keys_by_id), no_hard=args.no_hard, seed=args.seed)
        for path in (args.predictions, args.compare)
        if path is not None
    ]
    comparison = compare_runs(*results, seed=args.seed) if args.compare else None
    _report(args, dataset.split, results, comparison)
    return 0


def _report(
    args: argparse.Namespace, split: str | None, results: list[Evaluation], comparison: Comparison | None
) -> None:
    on_stdout = args.json == Path("-")
    if not on_stdout:
        print("\n\n".join(_tables(args, split, results, comparison)))
    for result in results:
        for sentence in result.warnings:
            print(f"lostreg: {sentence}", file=sys.stderr)
    if args.json is None:
        return
    text = json.dumps(_facts(args, split, results, comparison), indent=2, allow_nan=False)
    if on_stdout:
        print(text)
    else:
        _write(args.json, text + "\n")


def _write(path: Path, text: str) -> None:
    from lostreg.files import write_text_whole

    try:
        write_text_whole(path, text)
    except OSError as error:
        raise RunError(f"Cannot write {path}: {error.strerror or error}; name another file with --json.") from error


def _facts(
    args: argparse.Namespace, split: str | None, results: list[Evaluation], comparison: Comparison | None
) -> dict[str, Any]:
    from lostreg.published import published_rows

    facts: dict[str, Any] = {
        "predictions": str(args.predictions),
        "dataset": args.dataset,
        "split": split,
        "no_hard": args.no_hard,
        **results[0].to_json(),
    }
    if comparison is not None:
        facts["compared_with"] = {"predictions": str(args.compare), **results[1].to_json()}
        facts["comparison"] = asdict(comparison)
    if args.published:
        facts["published"] = [asdict(row) for row in published_rows(args.dataset)]
    return facts


def _tables(
    args: argparse.Namespace, split: str | None, results: list[Evaluation], comparison: Comparison | None
) -> list[str]:
    hard = ", without difficult and truncated objects" if args.no_hard else ""
    where = f"{args.dataset}{f' {split}' if split else ''}{hard}"
    paths = [args.predictions, args.compare]
    tables = [_table(f"{path} on {where}", result) for path, result in zip(paths, results, strict=False)]
    if comparison is not None:
        tables.append(_comparison_table(comparison))
    if args.published:
        tables.append(_published_table(args.dataset, results[0]))
    return tables


def _table(title: str, result: Evaluation) -> str:
    low, high = result.interval
    rows = [
        ("CorLoc", f"{_percent(result.corloc)}  95 % interval {low:.2f} to {high:.2f}"),
        ("whole-image floor", _percent(result.floor)),
        ("whole-image boxes", _percent(result.whole_image)),
        ("mean best IoU", f"{result.mean_best_iou:.4f}"),
        ("without prediction", f"{result.without_prediction} pictures, counted as misses"),
        ("without objects", f"{result.without_objects} pictures, not counted"),
    ]
    if result.detection is not None:
        rows += [(name.upper(), f"{value:6.2f}") for name, value in asdict(result.detection).items()]
    lines = [title, *(f"  {name:20} {value}" for name, value in rows)]
    for heading, shares in (
        ("CorLoc at IoU", result.corloc_at),
        ("CorLoc by size of the largest object", result.by_size),
        ("CorLoc by class, of the pictures that contain it", result.by_class),
    ):
        lines += [f"  {heading}", *(f"    {name:18} {_percent(share)}" for name, share in shares.items())]
    return "\n".join(lines)


def _comparison_table(comparison: Comparison) -> str:
    low, high = comparison.interval
    return (
        f"Second less first, on the same {comparison.images} pictures\n"
        f"  difference           {comparison.difference:+6.2f}  95 % interval {low:+.2f} to {high:+.2f}\n"
        f"  hit by one only      {comparison.only_first} by the first, {comparison.only_second} by the second\n"
        f"  McNemar's exact test p = {comparison.p_value:.3g}"
    )


def _published_table(dataset: str, result: Evaluation) -> str:
    from lostreg.published import published_rows

    rows = published_rows(dataset)
    if not rows:
        return f"No published CorLoc is known for {dataset}; there are rows for voc07, voc12 and coco20k."
    lines = [f"{'CorLoc':>6}  {'method':22} {'backbone':40} source", f"{result.corloc.percent or 0:6.2f}  this run"]
    for row in rows:
        trained = " (trained)" if row.trained else ""
        lines.append(f"{row.corloc(dataset):6.1f}  {row.method:22} {row.backbone + trained:40} {row.source}")
    return "\n".join(lines)


def _percent(share: Share) -> str:
    return "     -" if share.percent is None else f"{share.percent:6.2f}  ({share.hits} of {share.images})"
