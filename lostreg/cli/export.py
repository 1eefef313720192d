"""``lostreg export``: a run in the formats of other tools."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from lostreg.cli.options import path_argument

FORMAT_NAMES = ("coco", "coco-results", "yolo", "voc", "labelme", "csv")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("export", help="write a run as COCO, YOLO, VOC, LabelMe or CSV")
    parser.add_argument("run_folder", metavar="RUN", type=path_argument, help="the run folder")
    parser.add_argument("--format", required=True, choices=FORMAT_NAMES, help="what to write")
    parser.add_argument("--output", required=True, type=path_argument, metavar="DIR", help="the folder to write into")
    parser.add_argument(
        "--shape",
        choices=("mask", "polygon", "box"),
        help="outlines: mask or polygon for coco (default mask), polygon or box for labelme (default polygon); "
        "polygons have their holes filled",
    )
    parser.add_argument(
        "--annotations",
        type=path_argument,
        metavar="FILE",
        help="coco-results: take the image ids of this COCO instances file",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from lostreg.export import export_run

    done = export_run(args.run_folder, args.format, args.output, shape=args.shape, annotations=args.annotations)
    if done.unfinished is not None:
        print(f"lostreg: {done.unfinished}", file=sys.stderr)
    if args.json:
        print(json.dumps(asdict(done) | {"path": str(done.path)}, indent=2))
        return 0
    print(f"{done.path}: {done.objects} objects of {done.images} pictures")
    if done.failed:
        print(f"lostreg: {done.failed} pictures that failed in the run are not in the export.", file=sys.stderr)
    return 0
