"""What the evaluation scripts share: the photographs of a VOC list with their true boxes, and results on disk."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lostreg.annotations import GroundTruth
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli.doctor import package_versions
from lostreg.datasets import DatasetImage, open_dataset
from lostreg.files import write_text_whole


@dataclass(frozen=True)
class PhotographList:
    """The photographs that a script runs on.

    Attributes:
        name: for headings, such as ``dev2000 without dev500``.
        images: key and path.
        truths: true boxes by key.
    """

    name: str
    images: tuple[DatasetImage, ...]
    truths: dict[str, GroundTruth]


def add_list_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the list and the place of the results."""
    parser.add_argument("--root", type=Path, required=True, help="folder that holds VOC2007")
    parser.add_argument("--split", required=True, help="list of photographs, such as trainval")
    parser.add_argument("--exclude-split", help="list whose photographs are left out")
    parser.add_argument("--output", type=Path, required=True, help="where to write, without suffix")
    parser.add_argument("--device", default="auto")


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the model; the offline one unless it is given."""
    parser.add_argument("--model", default=OFFLINE_MODEL)


def open_list(args: argparse.Namespace) -> PhotographList:
    """Open the list that the options name."""
    dataset = open_dataset("voc07", args.root, args.split)
    excluded = open_dataset("voc07", args.root, args.exclude_split).images if args.exclude_split else ()
    left_out = {image.key for image in excluded}
    return PhotographList(
        args.split + (f" without {args.exclude_split}" if args.exclude_split else ""),
        tuple(image for image in dataset.images if image.key not in left_out),
        {key: truth for key, truth in dataset.truths().items() if key not in left_out},
    )


def made_with(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the results were made with: command, list, versions."""
    script = f"eval/{Path(sys.argv[0]).name}"
    return {
        "command": shlex.join(["python", script, *sys.argv[1:]]),
        "dataset": "voc07",
        "split": args.split,
        "excluded_split": args.exclude_split,
        "threads": torch.get_num_threads(),
        "versions": package_versions(),
    }


def save(output: Path, found: dict[str, Any], table: str) -> None:
    """Write ``OUTPUT.json`` and ``OUTPUT.md``."""
    write_text_whole(output.with_name(output.name + ".json"), json.dumps(found, indent=1) + "\n")
    write_text_whole(output.with_name(output.name + ".md"), table)
