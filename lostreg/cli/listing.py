"""Which pictures ``lostreg discover`` is to do: those named, of this shard, and not done yet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
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


def remaining(args: argparse.Namespace, listing: Listing, folder: RunFolder | None, elsewhere: list[str]) -> Listing:
    """Leave out what the run folder already has."""
    from lostreg.sources import Listing

    if folder is None or not folder.paths:
        return listing
    if not args.quiet:
        without = ", which get no overlays now" if args.overlays else ""
        print(
            f"lostreg: resuming, {len(folder.paths)} pictures are already in {args.output}{without}",
            file=sys.stderr,
            flush=True,
        )
    rest = _not_yet_done(listing.items, folder, elsewhere, retry_failed=args.retry_failed)
    if listing.total is None:
        return Listing(rest, None)
    items = list(rest)
    return Listing(items, len(items))


def _not_yet_done(
    items: Iterable[ImageItem], folder: RunFolder, elsewhere: list[str], *, retry_failed: bool
) -> Iterator[ImageItem]:
    """Leave out what a run folder has already: files by their path, whose keys hang on the order of the sources.

    Args:
        items: pictures to come.
        folder: of the run.
        elsewhere: takes the keys of those that the folder has from another path, which may be other pictures.
        retry_failed: take those that failed for not done.
    """
    known = set(folder.done) if retry_failed else folder.done | folder.failed
    known_paths = {Path(folder.paths[key]).absolute() for key in known}
    for item in items:
        same_path = Path(item.path).absolute() in known_paths
        if isinstance(item.content, Path) and same_path:
            continue
        if item.key not in known:
            yield item
        elif not same_path:
            elsewhere.append(item.key)


def _of_dataset(args: argparse.Namespace) -> Listing:
    from lostreg.sources import ImageItem, Listing

    dataset = open_named_dataset(args)
    items = [ImageItem(image.key, str(image.path), image.path) for image in dataset.images]
    return Listing(items, len(items))


def _of_sources(args: argparse.Namespace, stop: StopRequest) -> Listing:
    from lostreg.sources import list_sources

    return list_sources(args.sources, sys.stdin, every=args.every, stopped=stop)
