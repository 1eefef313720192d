"""``lostreg merge``: shards into one run folder."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lostreg.cli.options import path_argument


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "merge",
        help="join the shards of a run",
        description="Join run folders made with --shard i/n into one, and prove that none is missing or double.",
    )
    parser.add_argument("shards", nargs="+", type=path_argument, metavar="RUN", help="the run folder of every shard")
    parser.add_argument("--output", required=True, type=path_argument, metavar="RUN", help="the new run folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from lostreg.merge import merge_runs

    merged = merge_runs(args.shards, args.output)
    if args.json:
        print(json.dumps({"path": str(merged.path), "records": merged.records, "failures": merged.failures}))
    else:
        print(f"{merged.path}: {merged.records} records and {merged.failures} failures of {len(args.shards)} shards")
    return 0
