"""What every export takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lostreg.errors import RunError
from lostreg.records import Record
from lostreg.runreader import read_failures, read_header, read_records, unfinished

CLASS_NAME = "object"


@dataclass(frozen=True)
class Job:
    """One export to be done.

    Attributes:
        run: the run folder.
        output: the folder to write into.
        shape: how an object's outline is given, one of the format's ``shapes``.
        image_ids: the id of every picture by its key, from 1 in the order of the keys unless they were given.
        objects: how many objects there are.
        failed: how many pictures of the run failed.
        unfinished: a sentence where the run has pictures left to do.
    """

    run: Path
    output: Path
    shape: str
    image_ids: dict[str, int]
    objects: int
    failed: int
    unfinished: str | None

    def records(self) -> Iterator[Record]:
        """Read the records anew; they are never all in memory."""
        return read_records(self.run)


@dataclass(frozen=True)
class Format:
    """A format: ``write`` returns the file or folder it wrote; ``shapes`` begins with the default."""

    name: str
    summary: str
    write: Callable[[Job], Path]
    shapes: tuple[str, ...] = ("box",)


def open_job(run: Path, output: Path, shape: str) -> Job:
    """Look through a run once: keys, counts.

    Raises:
        RunError: it is no run folder, a record is damaged, or two records share a key.
    """
    header = read_header(run)
    keys: set[str] = set()
    objects = 0
    for record in read_records(run):
        if record.key in keys:
            raise RunError(f"{run} holds the picture {record.key} twice; repeat the run or the merge that wrote it.")
        keys.add(record.key)
        objects += len(record.objects)
    failed = {failure["key"] for failure in read_failures(run)} - keys
    image_ids = {key: number for number, key in enumerate(sorted(keys), 1)}
    return Job(run, output, shape, image_ids, objects, len(failed), unfinished(header))
