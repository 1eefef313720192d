"""The run folder, written: the only writer of results, made so that nothing written is lost.

What lies in it is named in :mod:`lostreg.layout`. A process killed in the middle of a line leaves a torn last line;
opening the folder cuts it off, and that picture is done again. The same command resumes a run; other settings or
weights are refused with the difference shown.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from lostreg.errors import RunError
from lostreg.files import write_text_whole
from lostreg.layout import FAILURES, HEADER, LOCK, OPEN, OVERLAYS, RECORDS, has_header
from lostreg.records import Record
from lostreg.runreader import FORMAT, read_failures, read_header, read_open_calls, read_records


class RunFolder:
    """A run being written; use it as a context manager.

    Attributes:
        path: the folder.
        done: keys of the pictures that have a record.
        failed: keys of the pictures that have a failure and no record.
        paths: where the pictures that have either were read from, by key.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, overwrite: bool = False) -> None:
        """Name a run folder and what its results depend on; nothing is touched before ``with``.

        Args:
            path: the folder, made if it is not there.
            identity: JSON-ready settings and weights; a folder written with others is refused.
            overwrite: delete the results of an earlier run instead of resuming it.
        """
        self.path = path
        self.identity = identity
        self.overwrite = overwrite
        self.done: set[str] = set()
        self.failed: set[str] = set()
        self.paths: dict[str, str] = {}
        self._done_paths: set[str] = set()
        self._open_calls: list[dict[str, Any]] = []
        self._lock = FileLock(path / LOCK)
        self._lock_file: os.stat_result | None = None
        self._streams: dict[str, FileIO] = {}
        self._header: dict[str, Any] = {}

    def __enter__(self) -> RunFolder:
        """Lock the folder, check its settings, cut torn lines, and learn what is already done.

        Raises:
            RunError: locked by another process, made with other settings, damaged, or not writable.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire()
            try:
                self._prepare()
            except BaseException:
                self._release()
                raise
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            raise _disk_error(self.path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files and release the lock."""
        self._release()

    def add(self, record: Record) -> None:
        """Append a record; it survives the death of the process from here on."""
        self._append(RECORDS, record.to_line())
        self.done.add(record.key)
        self._done_paths.add(record.path)
        self.failed.discard(record.key)

    def fail(self, key: str, path: str, reason: str, sentence: str) -> None:
        """Append a failure."""
        line = {"key": key, "path": path, "reason": reason, "error": sentence}
        self._append(FAILURES, _compact(line))
        self.failed.add(key)

    def settle_failures(self, gone: Collection[str] = ()) -> None:
        """Keep one line, the last, for every picture that failed and has no record: what a retry mended goes.

        Args:
            gone: keys of failures that stand for nothing any more.
        """
        lines = list(read_failures(self.path))
        failures = {each["key"]: each for each in lines if not self._is_settled(each) and each["key"] not in gone}
        self.failed = set(failures)
        if len(failures) == len(lines):
            return
        if FAILURES in self._streams:
            self._streams.pop(FAILURES).close()
        try:
            write_text_whole(self.path / FAILURES, "".join(f"{_compact(each)}\n" for each in failures.values()))
            self._open(FAILURES)
        except OSError as error:
            raise _disk_error(self.path, error) from error

    def _is_settled(self, failure: dict[str, str]) -> bool:
        """Tell whether a picture that failed has a record since, be it under another key."""
        return failure["key"] in self.done or failure["path"] in self._done_paths

    def begin(self, call: dict[str, Any], keys: list[str] | None, **fields: Any) -> None:
        """Note that a call is at work.

        Args:
            call: what it names, JSON-ready.
            keys: of the pictures that it must do; ``None`` where a stream does not tell beforehand.
            fields: for ``run.json``.
        """
        self._save_open([each for each in self._open_calls if each["call"] != call] + [{"call": call, "keys": keys}])
        self.save_header(state="running", **fields)

    def end(self, call: dict[str, Any], *, finished: bool, **fields: Any) -> None:
        """Note whether a call did all its pictures; the run is complete when every call's are done, by whichever."""
        known = self.done | self.failed
        left = [
            each
            for each in self._open_calls
            if not (finished and each["call"] == call) and (each["keys"] is None or not known.issuperset(each["keys"]))
        ]
        self._save_open(left)
        self.save_header(state="stopped" if left else "complete", **fields)

    def _save_open(self, calls: list[dict[str, Any]]) -> None:
        self._open_calls = calls
        try:
            if calls:
                write_text_whole(self.path / OPEN, json.dumps(calls) + "\n")
            else:
                (self.path / OPEN).unlink(missing_ok=True)
        except OSError as error:
            raise _disk_error(self.path, error) from error

    def save_header(self, **fields: Any) -> None:
        """Write ``run.json`` whole, with the given fields replaced."""
        for name, stream in self._streams.items():
            self._check_still_there(name, stream)
        self._header |= fields
        self._header["updated"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        try:
            write_text_whole(self.path / HEADER, json.dumps(self._header, indent=2) + "\n")
        except OSError as error:
            raise _disk_error(self.path, error) from error

    def _acquire(self) -> None:
        owner = self.path / LOCK
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            text = owner.read_text(encoding="utf-8", errors="replace").strip() or "another process"
            raise RunError(
                f"{self.path} is being written by {text}; wait for it, or choose another --output."
            ) from None
        owner.write_text(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n", encoding="utf-8")
        self._lock_file = owner.stat()

    def _prepare(self) -> None:
        if self.overwrite:
            self._delete_results()
        self._header = self._checked_header()
        for name in (RECORDS, FAILURES):
            cut_torn_line(self.path / name)
        done = {record.key: record.path for record in read_records(self.path)}
        self.done, self._done_paths = set(done), set(done.values())
        failures = [failure for failure in read_failures(self.path) if not self._is_settled(failure)]
        self.failed = {failure["key"] for failure in failures}
        self.paths = {failure["key"]: failure["path"] for failure in failures} | done
        self._open_calls = read_open_calls(self.path)
        for name in (RECORDS, FAILURES):
            self._open(name)
        self.settle_failures()
        self.save_header()

    def _open(self, name: str) -> None:
        self._streams[name] = (self.path / name).open("ab", buffering=0)

    def _checked_header(self) -> dict[str, Any]:
        if not (self.path / HEADER).exists():
            if (self.path / RECORDS).exists() and (self.path / RECORDS).stat().st_size:
                raise RunError(f"{self.path} has records but no {HEADER}; choose another --output.")
            if (self.path / OVERLAYS).is_dir() and any((self.path / OVERLAYS).iterdir()):
                raise RunError(f"{self.path / OVERLAYS} is there already and of no run; choose another --output.")
            return {
                "format": FORMAT,
                "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "identity": self.identity,
            }
        header = read_header(self.path)
        changes = differences(header.get("identity", {}), self.identity)
        if changes:
            raise RunError(
                f"{self.path} was made with other settings ({'; '.join(changes)}); repeat them, use --overwrite "
                "to start anew, or choose another --output."
            )
        return header

    def _delete_results(self) -> None:
        """Delete what a run wrote, the header last: where there is none of ours, nothing of it is."""
        if not has_header(self.path):
            found = [name for name in (HEADER, RECORDS, FAILURES, OVERLAYS) if os.path.lexists(self.path / name)]
            if found:
                raise RunError(
                    f"--overwrite deletes results of lostreg alone, but {self.path} holds {', '.join(found)} and is no "
                    f"run folder, since it has no {HEADER}; choose another --output."
                )
            return
        read_header(self.path)
        if (self.path / OVERLAYS).is_dir():
            shutil.rmtree(self.path / OVERLAYS)
        for name in (RECORDS, FAILURES, OPEN, HEADER):
            (self.path / name).unlink(missing_ok=True)

    def _append(self, name: str, line: str) -> None:
        stream = self._streams[name]
        self._check_still_there(name, stream)
        rest = memoryview(line.encode("utf-8") + b"\n")
        try:
            while rest:  # unbuffered: a full disk takes part of a line, and nothing lingers to be written later
                rest = rest[stream.write(rest) :]
        except OSError as error:
            raise _disk_error(self.path, error) from error

    def _check_still_there(self, name: str, stream: FileIO) -> None:
        """Refuse to write on into a file that was deleted or moved, which the system would allow, and lose it all.

        Without its lock another process may be writing here too.
        """
        try:
            same = os.path.samestat((self.path / name).stat(), os.fstat(stream.fileno()))
            held = self._lock_file is not None and os.path.samestat((self.path / LOCK).stat(), self._lock_file)
        except OSError:
            same = held = False
        if not (same and held):
            raise RunError(
                f"The run folder {self.path} or its {LOCK} was deleted, moved or replaced during the run; "
                "repeat the command, which goes on with what is there."
            )

    def _release(self) -> None:
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        self._lock.release()


def cut_torn_line(path: Path) -> int:
    """Cut an unfinished last line off a file of lines and return how many bytes went."""
    if not path.exists():
        return 0
    with path.open("r+b") as stream:
        content_end = stream.seek(0, os.SEEK_END)
        keep, block = content_end, 1 << 16
        while keep > 0:
            start = max(0, keep - block)
            stream.seek(start)
            newline = stream.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        stream.truncate(keep)
    return content_end - keep


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Name the leaves in which two JSON-ready values differ, as ``at: old -> new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            change
            for key in keys
            for change in differences(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
        ]
    return [] if old == new else [f"{at}: {old} -> {new}"]


def _compact(values: dict[str, str]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _disk_error(path: Path, error: OSError | ValueError) -> RunError:
    if isinstance(error, FileExistsError):
        return RunError(f"Expected a folder for the run at {path}, but there is a file; choose another --output.")
    cause = getattr(error, "strerror", None) or error
    return RunError(
        f"Cannot write to the run folder {path}: {cause}; free the disk or choose another "
        "--output, then repeat the command: what is written is kept."
    )
