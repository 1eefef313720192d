"""Which pictures ``lostreg discover`` is to do: those named, of this shard, and not done yet."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lostreg.cli.options import open_named_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lostreg.runfolder import RunFolder
    from lostreg.signals import StopRequest
    from lostreg.sources import ImageItem, Listing
    from lostreg.tally import Tally


def list_pictures(args: argparse.Namespace, stop: StopRequest) -> tuple[Listing, Tally]:
    """List the pictures and tally them; those of streams are tallied as they come."""
    from lostreg.sources import Listing, parse_shard
    from lostreg.tally import Tally

    if args.shard is not None:
        parse_shard(args.shard)  # nonsense, before the weights are fetched
    listing = _of_dataset(args) if args.dataset else _of_sources(args, stop)
    args.listed = listing.total
    if listing.total is not None:
        return listing, Tally(item.key for item in listing.items)
    tally = Tally()
    return Listing(tally.passing(listing.items), None), tally


def keys_of(listing: Listing) -> list[str] | None:
    """Return the keys of what is listed; ``None`` where a stream does not tell beforehand."""
    return None if listing.total is None else [item.key for item in listing.items]


def in_this_shard(args: argparse.Namespace, listing: Listing) -> Listing:
    """Leave out what other shards do."""
    from lostreg.sources import Listing, in_shard, parse_shard

    if args.shard is None:
        return listing
    shard = parse_shard(args.shard)
    chosen = (item for item in listing.items if in_shard(item.key, shard))
    if listing.total is None:
        return Listing(chosen, None)
    items = list(chosen)
    return Listing(items, len(items))


@dataclass
class Resumed:
    """What is learned of a run folder while the pictures of a call are compared with it.

    Attributes:
        elsewhere: keys of pictures left out, since the run has them from a place that is no more.
        not_listed: keys of failures that the call has not named, yet or at all.
    """

    elsewhere: list[str] = field(default_factory=list)
    not_listed: set[str] = field(default_factory=set)


def remaining(args: argparse.Namespace, listing: Listing, folder: RunFolder | None) -> tuple[Listing, Resumed]:
    """Leave out what the run folder already has."""
    from lostreg.sources import Listing

    if folder is None or not folder.paths:
        return listing, Resumed()
    if not args.quiet:
        without = ", which get no overlays now" if args.overlays else ""
        print(
            f"lostreg: resuming, {len(folder.paths)} pictures are already in {args.output}{without}",
            file=sys.stderr,
            flush=True,
        )
    resumed = Resumed(not_listed=set(folder.failed))
    rest = _not_yet_done(args, listing.items, folder, resumed)
    if listing.total is None:
        return Listing(rest, None), resumed
    items = list(rest)
    return Listing(items, len(items)), resumed


def gone_failures(args: argparse.Namespace, folder: RunFolder, resumed: Resumed) -> set[str]:
    """Return the failures that stand for nothing any more, after a call that has named all its pictures.

    With ``--retry-failed`` these are failures of the call's own sources that the sources do not have any more: of a
    picture that was deleted, or of an archive that was damaged and is whole now.
    """
    if not args.retry_failed:
        return set()
    sources = [os.path.abspath(source) for source in args.sources]  # noqa: PTH100 - as in sources
    below = tuple(f"{source}{separator}" for source in sources for separator in (os.sep, ":"))
    return {
        key
        for key in resumed.not_listed
        if args.dataset or folder.paths[key] in sources or folder.paths[key].startswith(below)
    }


def _not_yet_done(
    args: argparse.Namespace, items: Iterable[ImageItem], folder: RunFolder, resumed: Resumed
) -> Iterator[ImageItem]:
    """Leave out what a run folder has already, known by its path, or by its key where it has been moved."""
    known = set(folder.done) if args.retry_failed else folder.done | folder.failed
    keys_by_path = {path: key for key, path in folder.paths.items()}
    for item in items:
        known_as = keys_by_path.get(item.path, item.key)
        resumed.not_listed -= {item.key, known_as}
        if item.path in keys_by_path and known_as in known:
            continue
        if item.key not in known:
            yield item
        elif args.dataset:  # whose keys are its own, wherever it lies
            continue
        elif _exists(folder.paths[item.key]):
            yield replace(item, key=item.path.lstrip(os.sep))
        else:
            resumed.elsewhere.append(item.key)


def _exists(path: str) -> bool:
    """Tell whether a file is there, or the archive or video that a path behind a colon belongs to."""
    return os.path.lexists(path) or os.path.lexists(path.rpartition(":")[0])


def _of_dataset(args: argparse.Namespace) -> Listing:
    from lostreg.sources import ImageItem, Listing

    dataset = open_named_dataset(args)
    items = [ImageItem(image.key, os.path.abspath(image.path), image.path) for image in dataset.images]  # noqa: PTH100
    return Listing(items, len(items))


def _of_sources(args: argparse.Namespace, stop: StopRequest) -> Listing:
    from lostreg.sources import list_sources

    return list_sources(args.sources, sys.stdin, every=args.every, stopped=stop)
