"""What the user points at, as a stream of pictures with stable keys.

A source is an image file, a folder (searched recursively), a glob, a ``.txt`` list, a ``.tar`` of pictures, a
video, or ``-`` for a list on stdin. Lists hold one path a line; relative paths count from the list's own
folder, those on stdin from the current one. Archives and videos are streamed: nothing is unpacked.

The key names a picture within a run. It is the path inside the folder that was named, the file name of a file,
the line of a list; where two pictures would share one, the later takes its full path. Members of an archive and
frames of a video carry the archive's or video's path in front.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np

from lostreg.errors import ImageError, UsageError
from lostreg.images import MAX_PIXELS, SUFFIXES, Photograph, read_photograph

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")
VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})
MAX_MEMBER_BYTES = 512 * 1024 * 1024
_MOST_COMPRESSED = 10_000
"""A member that claims more than so many times its archive's size is a lie, which skipping it would take for ever."""


@dataclass(frozen=True)
class ImageItem:
    """One picture to be read.

    Attributes:
        key: names it within the run.
        path: where it comes from, for people.
        content: a file, encoded bytes, decoded pixels, or the reason why it cannot be had.
    """

    key: str
    path: str
    content: Path | bytes | Photograph | ImageError

    def read(self, *, upright: bool = True, max_pixels: int = MAX_PIXELS, needed_side: int | None = None) -> Photograph:
        """Decode the picture; see :func:`~lostreg.images.read_photograph`.

        Raises:
            ImageError: it cannot be read.
        """
        if isinstance(self.content, ImageError):
            raise self.content
        if isinstance(self.content, Photograph):
            return self.content
        return read_photograph(self.content, upright=upright, max_pixels=max_pixels, needed_side=needed_side)


@dataclass(frozen=True)
class Listing:
    """Pictures to come; ``total`` is ``None`` where a stream does not tell beforehand."""

    items: Iterable[ImageItem]
    total: int | None


def list_sources(sources: Iterable[str], stdin: TextIO, *, every: int = 1) -> Listing:
    """Expand the sources of a command line.

    Args:
        sources: as typed.
        stdin: read for a source ``-``.
        every: of a video, take every so-many-th frame.

    Raises:
        UsageError: no picture is found at all.
    """
    files: list[ImageItem] = []
    streams: list[Path] = []
    for source in sources:
        path = Path(source)
        if source != "-" and _is_file(path) and _is_stream(path):
            streams.append(path)
        else:
            files.extend(_expand(source, stdin))
    items = _with_unique_keys(files)
    if not items and not streams:
        raise UsageError(f"No pictures found in {', '.join(sources) or 'no source'} (looked for {_suffixes()}).")
    if not streams:
        return Listing(items, len(items))
    return Listing(_chain(items, streams, every), None)


def in_shard(key: str, shard: tuple[int, int]) -> bool:
    """Tell whether a key belongs to shard ``(i, n)``, i from 1: by its hash, so the order of listing is free."""
    index, count = shard
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8]) % count == index - 1


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/n``, i from 1 to n.

    Raises:
        UsageError: anything else.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"--shard must be i/n with i from 1 to n, such as 1/4, but it is {text!r}.")
    return index, count


def _expand(source: str, stdin: TextIO) -> Iterator[ImageItem]:
    path = Path(source)
    if source == "-":
        yield from _from_list(stdin, Path())
    elif os.path.isdir(path):  # noqa: PTH112 - as in _is_file
        yield from _from_folder(path)
    elif _is_file(path) and path.suffix.lower() == ".txt":
        yield from _from_list_file(path)
    elif not os.path.lexists(path) and glob.has_magic(source):
        yield from _from_glob(source)
    else:
        yield ImageItem(path.name, source, path)


def _is_file(path: Path) -> bool:
    """Tell whether a path is a file; of one that the system refuses to look at, the reader says why."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for long names and closed folders


def _from_list_file(path: Path) -> Iterator[ImageItem]:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as lines:
            yield from _from_list(lines, path.parent)
    except OSError as error:
        sentence = f"Cannot read the list {path}: {error.strerror}."
        yield ImageItem(path.name, str(path), ImageError("unreadable", sentence))


def _from_folder(folder: Path) -> Iterator[ImageItem]:
    refused: list[OSError] = []
    for where, folders, names in os.walk(folder, onerror=refused.append):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if path.suffix.lower() in SUFFIXES:
                yield ImageItem(path.relative_to(folder).as_posix(), str(path), path)
    for error in refused:
        sentence = f"Cannot list the folder {error.filename}: {error.strerror}."
        yield ImageItem(str(error.filename), str(error.filename), ImageError("unreadable", sentence))


def _from_glob(pattern: str) -> Iterator[ImageItem]:
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute pattern
        path = Path(name)
        if not path.is_dir() and path.suffix.lower() in SUFFIXES:
            yield ImageItem(path.as_posix(), name, path)


def _from_list(lines: Iterable[str], base: Path) -> Iterator[ImageItem]:
    for line in lines:
        name = line.rstrip("\r\n")
        if name.strip():
            yield ImageItem(name, str(base / name), base / name)


def _with_unique_keys(items: list[ImageItem]) -> list[ImageItem]:
    """Drop pictures named twice, and give colliding keys their full path."""
    chosen: dict[str, ImageItem] = {}
    for item in items:
        key = _clean(item.key)
        absolute = os.path.abspath(item.path)  # noqa: PTH100 - resolve() would follow links
        if key in chosen and os.path.abspath(chosen[key].path) != absolute:  # noqa: PTH100
            key = _clean(absolute)
        while key in chosen and os.path.abspath(chosen[key].path) != absolute:  # noqa: PTH100
            key += "~"
        chosen.setdefault(key, ImageItem(key, item.path, item.content))
    return list(chosen.values())


def _clean(key: str) -> str:
    """Return a relative key with ``/`` between its parts and none of ``.`` and ``..``."""
    parts = PurePosixPath(key.replace("\\", "/") if os.sep == "\\" else key).parts
    return "/".join(part for part in parts if part not in {"/", ".", ".."}) or "unnamed"


def _chain(items: list[ImageItem], streams: list[Path], every: int) -> Iterator[ImageItem]:
    yield from items
    for path in streams:
        yield from _from_video(path, every) if path.suffix.lower() in VIDEO_SUFFIXES else _from_archive(path)


def _from_archive(path: Path) -> Iterator[ImageItem]:
    """Yield the pictures of a tar in order; only regular files count, and no name becomes a path on disk."""
    prefix = _clean(path.as_posix())
    seen: set[str] = set()
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                if member.size > path.stat().st_size * _MOST_COMPRESSED:
                    raise tarfile.ReadError(f"{member.name} claims {member.size} bytes")
                if not member.isfile() or PurePosixPath(member.name).suffix.lower() not in SUFFIXES:
                    continue
                key = f"{prefix}/{_clean(member.name)}"
                while key in seen:
                    key += "~"
                seen.add(key)
                yield ImageItem(key, f"{path}:{member.name}", _member_content(archive, member))
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:  # ValueError: garbled extended headers
        sentence = f"The archive {path} is damaged or cut short: {error}; the pictures before that point are done."
        yield ImageItem(prefix, str(path), ImageError("damaged", sentence))


def _member_content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | ImageError:
    if member.size > MAX_MEMBER_BYTES:
        sentence = f"{member.name} in the archive has {member.size} bytes, more than {MAX_MEMBER_BYTES}."
        return ImageError("too-large", sentence)
    stream = archive.extractfile(member)
    return stream.read() if stream is not None else ImageError("unreadable", f"Cannot read {member.name}.")


def _from_video(path: Path, every: int) -> Iterator[ImageItem]:
    """Yield every so-many-th frame, one at a time in memory."""
    import cv2

    prefix = _clean(path.as_posix())
    capture = cv2.VideoCapture(str(path))
    try:
        frames = 0
        while capture.grab():
            if frames % every == 0:
                decoded, bgr = capture.retrieve()
                name = f"frame{frames:06d}"
                content = Photograph(np.ascontiguousarray(bgr[:, :, ::-1])) if decoded else _bad_frame(path, frames)
                yield ImageItem(f"{prefix}/{name}", f"{path}:{name}", content)
            frames += 1
        if frames == 0:
            yield ImageItem(prefix, str(path), ImageError("not-an-image", f"{path} holds no frame that can be read."))
    finally:
        capture.release()


def _bad_frame(path: Path, frame: int) -> ImageError:
    return ImageError("damaged", f"Frame {frame} of {path} cannot be decoded.")


def _is_stream(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) or path.suffix.lower() in VIDEO_SUFFIXES


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
