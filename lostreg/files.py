"""Files written whole or not at all, folders kept within bounds, checksums, and where the cache lives."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEVICES = (Path("/dev"), Path("/dev/fd"))


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that takes its place when the block ends well.

    A reader sees the old file or the new one, never half of it, even if the process is killed or the disk
    fills up; the temporary file lies on the same disk, so the last step is one rename. A link stays and what it
    leads to is replaced; a device or a pipe, such as ``/dev/stdout``, takes the bytes and stays too.
    """
    if _is_stream(target):
        with _handed_over(target) as temporary:
            yield temporary
        return
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".part", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_whole(target: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8."""
    with written_whole(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def trim(folder: Path, most_bytes: int) -> None:
    """Delete the oldest files in a folder and below until they hold no more than so many bytes."""
    files = sorted(_ages_and_sizes(folder))
    held = sum(size for _, size, _ in files)
    for _, size, path in files:
        if held <= most_bytes:
            return
        path.unlink(missing_ok=True)
        held -= size


def cache_dir() -> Path:
    """Return the cache folder: ``LOSTREG_CACHE``, or the user's cache folder on this system."""
    named = os.environ.get("LOSTREG_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "lostreg"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "lostreg"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lostreg"


def _is_stream(target: Path) -> bool:
    """Tell whether a path is no file to be replaced: among the devices even a file is somebody's open output."""
    return target.parent in _DEVICES or (target.exists() and not (target.is_file() or target.is_dir()))


@contextmanager
def _handed_over(target: Path) -> Iterator[Path]:
    """Yield a temporary path whose content goes to a device or pipe when the block ends well."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, target.name)
        yield temporary
        with temporary.open("rb") as written, target.open("ab") as stream:
            shutil.copyfileobj(written, stream)


def _ages_and_sizes(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            try:
                about = path.stat()
            except FileNotFoundError:  # who made it was faster to delete it
                continue
            yield about.st_mtime, about.st_size, path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
