"""What lies in a run folder, by name, for those who must know one when they see it.

::

    RUN/run.json          settings, weights, versions, counts, timings; replaced whole, never edited
    RUN/records.jsonl     one line per picture, appended and flushed as it is done
    RUN/failures.jsonl    one line per picture that could not be done: key, path, reason, sentence
    RUN/open.json         calls that have pictures left, with these pictures' keys; gone when the run is complete
    RUN/overlays/...      pictures for people
    RUN/run.lock          held while a process writes here
"""

from __future__ import annotations

import os
from pathlib import Path

HEADER, RECORDS, FAILURES, OPEN, LOCK, OVERLAYS = (
    "run.json",
    "records.jsonl",
    "failures.jsonl",
    "open.json",
    "run.lock",
    "overlays",
)


def has_header(folder: Path) -> bool:
    """Tell whether a folder holds a ``run.json``; a pipe of that name, which would keep a reader waiting, is none."""
    try:
        return (folder / HEADER).is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def is_part_of_a_run(path: Path) -> bool:
    """Tell whether a path is, or leads to, one of the files that a run folder lives by."""
    own = {HEADER, RECORDS, FAILURES, OPEN, LOCK}
    return any(each.name in own and has_header(each.parent) for each in (path, Path(os.path.realpath(path))))


def holds_overlays(folder: Path) -> bool:
    """Tell whether a folder is that of a run's overlays."""
    return folder.name == OVERLAYS and has_header(folder.parent) and (folder.parent / RECORDS).exists()
