"""Shards of one run joined into one run folder, with proof that nothing is missing and nothing is double."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lostreg.errors import RunError, UsageError
from lostreg.layout import OVERLAYS, has_header
from lostreg.runfolder import RunFolder, differences
from lostreg.runreader import read_failures, read_header, read_records
from lostreg.sources import parse_shard
from lostreg.tally import Tally

_MERGING = "merging"


@dataclass(frozen=True)
class Merged:
    """What a merge wrote."""

    path: Path
    records: int
    failures: int


def merge_runs(shards: Sequence[Path], output: Path) -> Merged:
    """Join the shards of a run.

    Args:
        shards: run folders made with ``--shard i/n``, every i of n once.
        output: a new run folder.

    Raises:
        RunError: a shard is missing, double, unfinished or made with other settings; a picture stands in two
            shards; the numbers do not add up; or the output exists.
    """
    headers = [read_header(folder) for folder in shards]
    _check_shards(shards, headers)
    _check_pictures(headers, _keys_of(shards))
    again = _was_broken_off(output)
    with RunFolder(output, headers[0]["identity"], overwrite=again) as merged:
        merged.save_header(state=_MERGING)
        for folder in shards:
            _copy_results(folder, merged)
        for folder in shards:
            _copy_overlays(folder, output)
        counts = {"done": len(merged.done), "failed": len(merged.failed)}
        kept = {
            name: headers[0][name]
            for name in ("weights", "sources", "dataset", "versions", "listed", "listed_keys")
            if name in headers[0]
        }
        merged.save_header(**kept, shard=None, merged_from=[str(s) for s in shards], counts=counts, state="complete")
        return Merged(output, counts["done"], counts["failed"])


def _was_broken_off(output: Path) -> bool:
    """Tell whether a merge into a folder has begun and not ended, so that it is begun anew.

    Raises:
        RunError: there is a run that is no such merge.
    """
    if not has_header(output):
        return False
    if read_header(output).get("state") != _MERGING:
        raise RunError(f"{output} is a run folder already; choose another --output.")
    return True


def _check_shards(shards: Sequence[Path], headers: Sequence[dict[str, Any]]) -> None:
    seen: dict[int, Path] = {}
    counts = set()
    for folder, header in zip(shards, headers, strict=True):
        if not header.get("shard"):
            raise RunError(f"{folder} is not a shard: it was made without --shard.")
        if header.get("state") != "complete":
            raise RunError(f"{folder} is not finished (state: {header.get('state')}); repeat its command, then merge.")
        changes = differences(headers[0]["identity"], header["identity"])
        if changes:
            raise RunError(f"{folder} was made with other settings than {shards[0]}: {'; '.join(changes)}.")
        try:
            index, count = parse_shard(header["shard"])
        except UsageError as error:
            raise RunError(f"{folder} is damaged: its shard is {header['shard']!r}.") from error
        counts.add(count)
        if index in seen:
            raise RunError(f"{folder} and {seen[index]} are both shard {header['shard']}.")
        seen[index] = folder
    if len(counts) != 1:
        raise RunError(f"The shards are of different divisions: {', '.join(f'n = {n}' for n in sorted(counts))}.")
    missing = [f"{i}/{count}" for count in counts for i in range(1, count + 1) if i not in seen]
    if missing:
        raise RunError(f"Shard {', '.join(missing)} is missing; name the run folder of every shard.")


def _keys_of(shards: Sequence[Path]) -> Collection[str]:
    """Return the pictures of all shards before anything is written, and refuse one that stands in two."""
    home: dict[str, Path] = {}
    for folder in shards:
        recorded = [record.key for record in read_records(folder)]
        keys = {*recorded, *(each["key"] for each in read_failures(folder))}
        if len(set(recorded)) < len(recorded):
            twice = next(key for key, count in Counter(recorded).items() if count > 1)
            raise RunError(f"{folder} holds two records of {twice}; make that shard anew with --overwrite.")
        for key in keys:
            if key in home:
                raise RunError(f"{key} stands in {home[key]} and in {folder}; the sources changed between them.")
            home[key] = folder
    return home.keys()


def _copy_results(folder: Path, merged: RunFolder) -> None:
    for record in read_records(folder):
        merged.add(record)
    for failure in read_failures(folder):
        if failure["key"] not in merged.done:
            merged.fail(failure["key"], failure["path"], failure["reason"], failure["error"])


def _copy_overlays(folder: Path, output: Path) -> None:
    try:
        if (folder / OVERLAYS).is_dir():
            shutil.copytree(folder / OVERLAYS, output / OVERLAYS, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        raise RunError(f"Cannot copy the overlays of {folder} to {output}: {error}.") from error


def _check_pictures(headers: Sequence[dict[str, Any]], found: Collection[str]) -> None:
    """Compare what every shard listed, others' parts too, with what all of them hold."""
    listed = {header.get("listed") for header in headers}
    if len(listed) != 1:
        raise RunError(
            f"The shards listed different numbers of pictures ({', '.join(map(str, sorted(map(str, listed))))}): "
            "the sources changed between them."
        )
    (total,) = listed
    if total is None or len(found) < total:
        raise RunError(f"The shards hold {len(found)} of the {total} pictures listed; resume the ones that are short.")
    if len(found) > total:
        raise RunError(
            f"The shards hold {len(found)} pictures, but listed {total} in the end: some are gone, or came of other "
            "commands; repeat each shard's command with --retry-failed, or make the shards anew with --overwrite."
        )
    if {header.get("listed_keys") for header in headers} != {Tally(found).digest}:
        raise RunError("The shards did not all list the pictures that they hold; the sources changed between them.")
