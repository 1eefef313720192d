"""Pictures out of tar archives, streamed: nothing is unpacked, and an archive that is not whole is told.

``tarfile`` by itself ends quietly at a damaged header, at an end between two members, and before a wrong checksum of
gzip. Here each of them is an error, after the members before it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from lostreg.errors import ImageError
from lostreg.images import SUFFIXES

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")

MAX_MEMBER_BYTES = 512 * 1024 * 1024

ARCHIVE_ERRORS = (tarfile.TarError, EOFError, OSError, ValueError, RecursionError, zlib.error, lzma.LZMAError)
"""What a damaged archive raises; ``ValueError`` comes of garbled extended headers, the recursion of chains of them."""

_MOST_COMPRESSED = 10_000
"""A member that claims more than so many times its archive's size is a lie, which skipping it would take for ever."""

_CHUNK = 1 << 20

_OPENERS: dict[bytes, Callable[[Path, str], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


class _Member(tarfile.TarInfo):
    """A member whose header must be one, or the mark of the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # what ends an archive as it should
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} where a member or the end's mark should be") from error


class _StopAskedError(Exception):
    """The stop that was asked for, on its way out of ``tarfile``."""


class _Watched:
    """A stream that can be left in the middle of a member that is skipped, which may take minutes."""

    def __init__(self, stream: IO[bytes], stopped: Callable[[], bool]) -> None:
        self._stream = stream
        self._stopped = stopped

    def read(self, size: int) -> bytes:
        if self._stopped():
            raise _StopAskedError
        return self._stream.read(size)


def pictures_in(path: Path, stopped: Callable[[], bool] = lambda: False) -> Iterator[tuple[str, bytes | ImageError]]:
    """Yield name and bytes of the pictures of an archive, in its order, or why one cannot be had.

    Args:
        path: the archive.
        stopped: asked at each block of bytes; once true, nothing more is read.

    Raises:
        ARCHIVE_ERRORS: at the point where the archive is damaged or ends too early.
    """
    with _decompressed(path) as stream, suppress(_StopAskedError):
        yield from _members(cast("IO[bytes]", _Watched(stream, stopped)), path.stat().st_size * _MOST_COMPRESSED)


def _members(stream: IO[bytes], most_bytes: int) -> Iterator[tuple[str, bytes | ImageError]]:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as archive:
        for member in archive:
            stored = archive.offset - member.offset_data  # of a sparse file less than its size
            if stored > most_bytes:
                raise tarfile.ReadError(f"{member.name} claims {stored} bytes")
            if not member.isdir() and PurePosixPath(member.name).suffix.lower() in SUFFIXES:
                yield member.name, _content(archive, member)
        _check_rest(archive)


def _decompressed(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        start = stream.read(8)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    return path.open("rb") if opener is None else opener(path, "rb")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | ImageError:
    if member.islnk() or member.issym():
        sentence = (
            f"{member.name} in the archive is a link to {member.linkname}, which a stream cannot follow; pack the "
            "picture itself, with tar's --dereference and --hard-dereference."
        )
        return ImageError("unreadable", sentence)
    if member.size > MAX_MEMBER_BYTES:
        sentence = f"{member.name} in the archive has {member.size} bytes, more than {MAX_MEMBER_BYTES}."
        return ImageError("too-large", sentence)
    stream = archive.extractfile(member)
    return (
        stream.read() if stream is not None else ImageError("unreadable", f"{member.name} in the archive is no file.")
    )


def _check_rest(archive: tarfile.TarFile) -> None:
    """Read behind the end's mark, where compressed archives carry their checksum and nothing else may be."""
    while chunk := cast("IO[bytes]", archive.fileobj).read(_CHUNK):
        if chunk.strip(b"\0"):
            raise tarfile.ReadError("there is more behind its end, as in archives glued together")
