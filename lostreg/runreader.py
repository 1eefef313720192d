"""A run folder, read: header, records and failures, strictly; nothing damaged passes for a result."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from lostreg.errors import RunError
from lostreg.layout import FAILURES, HEADER, OPEN, RECORDS, has_header
from lostreg.records import Record

FORMAT = 1
"""Of run folders, as their header names it."""

_REQUIRED = {"identity": dict, "created": str, "updated": str}
_OPTIONAL: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("counts", "timings", "weights", "versions"), (dict,)),
    **dict.fromkeys(("state", "shard", "device", "registers"), (str, NoneType)),
    "dataset": (dict, NoneType),
    "listed": (int, NoneType),
    "listed_keys": (str, NoneType),
}
"""What ``run.json`` must hold, and of which kinds what else is read of it is."""

_FAILURE_FIELDS = ("key", "path", "reason", "error")


def read_header(folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        RunError: it is missing or damaged.
    """
    if not has_header(folder):
        raise RunError(f"{folder} is not a run folder: it has no {HEADER}.")
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"Cannot read {folder / HEADER}: {error}.") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RunError(f"{folder / HEADER} is not of format {FORMAT}, which this version of lostreg reads.")
    for name, kind in _REQUIRED.items():
        if not isinstance(header.get(name), kind):
            raise RunError(f"{folder / HEADER} is damaged: {name} must be there and a {kind.__name__}.")
    for name, kinds in _OPTIONAL.items():
        if name in header and not isinstance(header[name], kinds):
            raise RunError(f"{folder / HEADER} is damaged: {name} is a {type(header[name]).__name__}.")
    if not all(isinstance(spent, int | float | dict) for spent in header.get("timings", {}).values()):
        raise RunError(f"{folder / HEADER} is damaged: timings must be numbers.")
    return header


def read_open_calls(folder: Path) -> list[dict[str, Any]]:
    """Read which calls have pictures left: ``call``, and their ``keys`` or ``None`` where a stream did not tell.

    Raises:
        RunError: the file is damaged.
    """
    text = b"".join(_lines(folder / OPEN))
    try:
        calls = json.loads(text) if text else []
        return [{"call": dict(each["call"]), "keys": each["keys"] and list(each["keys"])} for each in calls]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise RunError(
            f"{folder / OPEN} is damaged: {error}; delete it, and repeat the commands of the run."
        ) from error


def unfinished(header: dict[str, Any]) -> str | None:
    """Say that a run has pictures left to do; ``None`` of a run that is complete, or does not tell.

    Args:
        header: the content of ``run.json``.
    """
    state = header.get("state")
    if state in (None, "complete"):
        return None
    return f"The run is not finished (state: {state}); the same command does the pictures that are left."


def read_records(folder: Path) -> Iterator[Record]:
    """Yield the records of a run in the order they were written; a torn last line is left out.

    Raises:
        RunError: a line before the last is damaged.
    """
    for number, values in _json_lines(folder / RECORDS):
        try:
            yield Record.from_json(values)
        except RunError as error:
            raise RunError(f"{folder / RECORDS}, line {number}: {error}") from error


def read_failures(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the failures of a run: ``key``, ``path``, ``reason``, ``error``."""
    for number, values in _json_lines(folder / FAILURES):
        fields = [values.get(name) for name in _FAILURE_FIELDS] if isinstance(values, dict) else [None]
        if not all(isinstance(value, str) for value in fields):
            raise RunError(f"{folder / FAILURES}, line {number}: expected the texts {', '.join(_FAILURE_FIELDS)}.")
        yield values


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.endswith(b"\n"):
            return
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}, line {number} is damaged: {error}.") from error


def _lines(path: Path) -> Iterator[bytes]:
    try:
        if not os.path.lexists(path):
            return
        if path.exists() and not path.is_file():  # a pipe would keep the reader waiting
            raise RunError(f"Cannot read {path}: it is no regular file.")
        with path.open("rb") as stream:
            yield from stream
    except OSError as error:
        raise RunError(f"Cannot read {path}: {error.strerror or error}.") from error
