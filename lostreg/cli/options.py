"""Options shared by the commands that discover, and where a setting comes from.

Precedence: command line, then ``--config FILE.toml``, then the model's preset, then the defaults. An option that
is not given stays ``None``, so that it overrides nothing.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lostreg.errors import UsageError
from lostreg.settings import (
    DEFAULT_MAX_SIDE,
    ENGINES,
    PAD_MODES,
    PRECISIONS,
    PROJECTIONS,
    QUALITIES,
    parse_k_patches,
    parse_objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lostreg.datasets import Dataset
    from lostreg.discover import Discoverer

MODEL_OPTIONS = (
    "model",
    "checkpoint",
    "registers",
    "layer",
    "device",
    "engine",
    "precision",
    "max_side",
    "pad",
    "views",
    "looks",
)
METHOD_OPTIONS = ("method", "feature", "offset", "k_patches", "objects", "attention_head")
HEAD_OPTIONS = ("head", "quality")

_KIND_NAMES = {str: "text", int: "a whole number", float: "a number"}


# as in lostreg.methods.METHODS, which would import torch
METHODS = (
    "lost",
    "dino-seg",
    "tokencut",
    "maskcut",
    "attention-seed",
    "diffusion",
    "head-consensus",
    "fitted",
    "whole-image",
)
DATASETS = ("voc07", "voc12", "coco", "coco20k", "folder")


def path_argument(text: str) -> Path:
    """Read a path; none at all, as from an unset variable, would name the current folder.

    Raises:
        ArgumentTypeError: it is empty, or no system takes it.
    """
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, but it is {text!r}")
    return Path(text)


def output_file_argument(text: str) -> Path:
    """Read the path of a file to be written, which must be none of those that a run folder lives by.

    Raises:
        ArgumentTypeError: it is one, or no path.
    """
    from lostreg.layout import is_part_of_a_run

    path = path_argument(text)
    if is_part_of_a_run(path):
        raise argparse.ArgumentTypeError(f"{path} belongs to the run in {path.parent}; name another file")
    return path


def add_dataset_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that name a dataset."""
    group = parser.add_argument_group("dataset")
    group.add_argument("--dataset", choices=DATASETS, required=required, help="a dataset by its layout")
    group.add_argument("--root", type=path_argument, required=required, metavar="DIR", help="folder of the dataset")
    group.add_argument("--split", metavar="NAME", help="such as trainval (VOC's default) or val2017")
    group.add_argument(
        "--annotations", type=path_argument, metavar="FILE", help="COCO json to read instead of the usual one"
    )


def check_dataset_options(args: argparse.Namespace) -> None:
    """Refuse what says more about a dataset where none is named.

    Raises:
        UsageError: an option without ``--dataset``.
    """
    for option in ("root", "split", "annotations", "no_hard"):
        if args.dataset is None and getattr(args, option, None):
            name = option.replace("_", "-")
            raise UsageError(f"--{name} says which annotations to judge by; name the --dataset too, or leave it out.")


def open_named_dataset(args: argparse.Namespace) -> Dataset:
    """Open the dataset that the options name.

    Raises:
        UsageError: ``--root`` is missing, or ``--no-hard`` asks for flags that the annotations do not have.
    """
    from lostreg.datasets import open_dataset

    if args.split == "":
        raise UsageError("--split is empty, as if from an unset variable; name one, or leave it out.")
    if args.root is None:
        raise UsageError(f"--dataset {args.dataset} needs the folder it lies in: --root DIR.")
    dataset = open_dataset(args.dataset, args.root, args.split, args.annotations)
    if getattr(args, "no_hard", False) and dataset.keys_by_id:
        raise UsageError("--no-hard needs VOC's flags difficult and truncated, which COCO annotations do not have.")
    return dataset


def add_network_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options that say which ViT runs, and on what."""
    group = parser.add_argument_group("model (heavy step)")
    group.add_argument("--model", metavar="NAME[@REVISION]", help="short name or timm id; see `lostreg models list`")
    group.add_argument("--checkpoint", type=path_argument, metavar="FILE", help="safetensors or .pth file of weights")
    group.add_argument("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps (default auto)")
    group.add_argument(
        "--engine",
        choices=ENGINES,
        help="what runs the ViT: torch; compiled, by PyTorch's compiler where many pictures share a grid; or openvino, "
        "a faster extra for CPUs (default auto: openvino where it is installed and gives what torch gives, else torch)",
    )
    group.add_argument("--precision", choices=PRECISIONS, help="of the ViT (default auto: fp32)")
    group.add_argument(
        "--max-side",
        type=int,
        metavar="PX",
        help=f"scale larger pictures down to this longer side; 0 keeps native size (default {DEFAULT_MAX_SIDE})",
    )
    group.add_argument("--pad", choices=PAD_MODES, help="how a multiple of the patch size is reached (default none)")
    return group


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the heavy step: which ViT, on what, and what is read of it."""
    group = add_network_options(parser)
    add_registers_option(group)
    group.add_argument("--layer", type=int, metavar="INT", help="block to read, from 0 or from the end (default -1)")
    group.add_argument(
        "--views",
        type=int,
        metavar="N",
        help="average over N shifted and flipped views, at N times the cost (default 1)",
    )
    group.add_argument(
        "--looks",
        type=int,
        metavar="N",
        help="pool a fitted head's votes over N of 5 looks, mirrored and scaled; 5 cost 7.5 times as much (default 1)",
    )


def add_registers_option(group: argparse._ArgumentGroup) -> None:
    """Add ``--registers``."""
    group.add_argument(
        "--registers",
        metavar="WHICH",
        help="native, none, test-time[:LIST.json], or an adapter FILE.safetensors (default: the model as it is)",
    )


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the cheap step: how objects are found in the features."""
    group = parser.add_argument_group("method (cheap step)")
    group.add_argument("--method", metavar="NAME", help=f"{', '.join(METHODS)} (default: the model's preset)")
    group.add_argument("--head", type=path_argument, metavar="FILE", help="head of `lostreg fit` that fitted reads")
    group.add_argument(
        "--quality",
        choices=QUALITIES,
        help="fast: the model's preset (default); best: fitted with the head that ships for the model",
    )
    group.add_argument(
        "--feature",
        choices=PROJECTIONS,
        help="what lost, tokencut and maskcut read: keys, queries, values or output tokens",
    )
    group.add_argument(
        "--offset", metavar="T", help="moves lost's similarity: none, mean, a number, or a quantile such as q0.5"
    )
    group.add_argument(
        "--k-patches", type=_usage(parse_k_patches), metavar="N|F", help="lost's potential seeds, a count or a fraction"
    )
    group.add_argument(
        "--objects", type=_usage(parse_objects), metavar="N|auto", help="how many to look for (default 1)"
    )
    group.add_argument("--attention-head", type=int, metavar="INT", help="head that dino-seg reads (default 4)")


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``."""
    parser.add_argument("--config", type=path_argument, metavar="FILE.toml", help="options by their long names")


def apply_config(args: argparse.Namespace) -> None:
    """Fill options that were not given from the ``--config`` file.

    Raises:
        UsageError: the file is missing or damaged, names an option that does not exist, or a value that cannot be.
    """
    if args.config is None:
        return
    try:
        values = tomllib.loads(args.config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"Cannot read the settings in {args.config}: {error}.") from error
    allowed = {*MODEL_OPTIONS, *METHOD_OPTIONS, *HEAD_OPTIONS}
    for name, value in values.items():
        option = name.replace("-", "_")
        if option not in allowed:
            near = difflib.get_close_matches(option, sorted(allowed), n=1, cutoff=0.0)[0].replace("_", "-")
            raise UsageError(f"{args.config} sets {name!r}, which is no option; did you mean {near!r}?")
        read = _read_value(option, value)
        if read is None:
            kinds = " or ".join(_KIND_NAMES[kind] for kind in _kinds_of(option))
            raise UsageError(f"{args.config} sets {name} to {value!r}, but it must be {kinds}.")
        if getattr(args, option) is None:
            setattr(args, option, read)


def _kinds_of(option: str) -> tuple[type, ...]:
    """Return the kinds of TOML value that an option takes."""
    if option in {"layer", "max_side", "views", "looks", "attention_head"}:
        return (int,)
    return {"offset": (str, int, float), "k_patches": (int, float), "objects": (int, str)}.get(option, (str,))


def _read_value(option: str, value: Any) -> Any:
    """Return a value of a ``--config`` file as the command line would give it; ``None`` if it is of a wrong kind."""
    if type(value) not in _kinds_of(option):  # a boolean would pass for a number
        return None
    match option:
        case "offset":
            return str(value)
        case "k_patches":
            return parse_k_patches(str(value))
        case "objects":
            return parse_objects(str(value))
    return value


def discoverer_from(args: argparse.Namespace) -> Discoverer:
    """Build the discoverer that the options ask for.

    Says on stderr why ``auto`` did not take the quickest engine, and which options the method does not read.
    """
    from lostreg.discover import Discoverer

    given = {name: getattr(args, name) for name in (*MODEL_OPTIONS, *METHOD_OPTIONS, *HEAD_OPTIONS) if name in args}
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("max_side") == 0:
        given["max_side"] = None
    discoverer = Discoverer(given.pop("model", None), **given)
    if discoverer.engine_note and not getattr(args, "quiet", False):
        print(f"lostreg: the ViT runs in PyTorch: {discoverer.engine_note}", file=sys.stderr)
    method = discoverer.settings.method
    if ignored := ignored_options(given, method):
        print(f"lostreg: without effect on the method {method}: {', '.join(ignored)}", file=sys.stderr)
    return discoverer


def ignored_options(given: Iterable[str], method: str) -> list[str]:
    """Return those of some settings, as options, that have no effect on a method."""
    from lostreg import methods

    some_read: frozenset[str] = frozenset().union(*(each.reads for each in methods.METHODS.values()))
    ignored = some_read.intersection(given) - methods.METHODS[method].reads
    return [f"--{name.replace('_', '-')}" for name in METHOD_OPTIONS if name in ignored]


def _usage(parse: Any) -> Any:
    """Let argparse show a parser's own sentence."""

    def parse_argument(text: str) -> Any:
        try:
            return parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument
