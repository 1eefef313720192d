"""Pictures out of uploaded tar and zip archives, within limits that hold whatever the archive claims.

Nothing is written to disk under a member's name; a name only becomes the picture's key, cleaned of everything
that could lead out of a folder.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from lostreg.demo.limits import MAX_BATCH_PICTURES, MAX_PICTURE_BYTES, MAX_UNPACKED_BYTES, MEGABYTE, too_many_bytes
from lostreg.demo.uploads import Upload
from lostreg.errors import ImageError, UsageError
from lostreg.images import SUFFIXES
from lostreg.sources import ImageItem

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
ZIP_SUFFIXES = (".zip",)
FILE_TYPES = [*sorted(SUFFIXES), ".tar", ".gz", ".tgz", ".zip"]

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
"""RuntimeError and NotImplementedError: zipfile's words for a password, and for methods it does not know."""


def pictures_of(uploads: list[Upload]) -> list[ImageItem]:
    """List the pictures of uploaded files and archives, each with a key of its own.

    Raises:
        UsageError: none at all, more than the page takes, or a damaged archive.
    """
    items: list[ImageItem] = []
    for upload in uploads:
        items.extend(
            _unpacked(upload) if _is_archive(upload.name) else [ImageItem(upload.name, upload.name, upload.path)]
        )
        _check_total(sum(len(item.content) for item in items if isinstance(item.content, bytes)))
        if len(items) > MAX_BATCH_PICTURES:
            raise UsageError(
                f"This page takes {MAX_BATCH_PICTURES} pictures at a time; send fewer, or use `lostreg discover`."
            )
    if not items:
        raise UsageError("No pictures found; choose pictures, or a tar or zip archive with pictures in it.")
    return _with_own_keys(items)


def _is_archive(name: str) -> bool:
    return name.lower().endswith((*TAR_SUFFIXES, *ZIP_SUFFIXES))


def _unpacked(upload: Upload) -> list[ImageItem]:
    members = _zip_members if upload.name.lower().endswith(ZIP_SUFFIXES) else _tar_members
    items: list[ImageItem] = []
    try:
        for name, content in members(upload.path):
            items.append(ImageItem(name, f"{upload.name}:{name}", content))
            if len(items) > MAX_BATCH_PICTURES:
                break
    except _BROKEN as error:
        raise UsageError(f"The archive {upload.name} is damaged or cut short: {error}.") from error
    return items


def _zip_members(path: Path) -> Iterator[tuple[str, bytes | ImageError]]:
    with zipfile.ZipFile(path) as archive:
        unpacked = 0
        for member in archive.infolist():
            if member.is_dir() or not _is_picture(member.filename):
                continue
            with archive.open(member) as stream:
                content = _read(stream)
            unpacked += len(content) if isinstance(content, bytes) else MAX_PICTURE_BYTES
            _check_total(unpacked)
            yield _clean(member.filename), content


def _tar_members(path: Path) -> Iterator[tuple[str, bytes | ImageError]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            # A stream is unpacked to its end, so even what is passed over counts.
            _check_total(archive.offset + member.size)
            stream = archive.extractfile(member) if member.isfile() and _is_picture(member.name) else None
            if stream is not None:
                yield _clean(member.name), _read(stream)


def _read(stream: IO[bytes]) -> bytes | ImageError:
    content = stream.read(MAX_PICTURE_BYTES + 1)
    return content if len(content) <= MAX_PICTURE_BYTES else too_many_bytes()


def _check_total(unpacked: int) -> None:
    if unpacked > MAX_UNPACKED_BYTES:
        raise UsageError(
            f"The archives unpack to more than {MAX_UNPACKED_BYTES // MEGABYTE} MB, the limit of this page."
        )


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith("._")  # macOS' shadow of every file


def _clean(name: str) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "/".join(part for part in parts if part not in {"/", ".", ".."}) or "picture"


def _with_own_keys(items: list[ImageItem]) -> list[ImageItem]:
    taken: set[str] = set()
    result = []
    for item in items:
        key, number = item.key, 2
        while key in taken:
            stem, dot, suffix = item.key.rpartition(".")
            key = f"{stem or suffix}-{number}{dot if stem else ''}{suffix if stem else ''}"
            number += 1
        taken.add(key)
        result.append(ImageItem(key, item.path, item.content))
    return result
