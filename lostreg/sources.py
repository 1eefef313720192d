"""What the user points at, as a stream of pictures with stable keys.

A source is an image file, a folder (searched recursively), a glob, a ``.txt`` list, a ``.tar`` of pictures, a
video, or ``-`` for a list on stdin. Lists hold one path a line; relative paths count from the list's own
folder, those on stdin from the current one. Archives and videos are streamed: nothing is unpacked.

The key names a picture within a run. It is the path inside the folder that was named, the file name of a file,
the line of a list; where two pictures would share one, the later takes its whole path as typed. Members of an
archive and frames of a video carry the archive's or video's path in front.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TextIO

from lostreg.archives import ARCHIVE_ERRORS, ARCHIVE_SUFFIXES, pictures_in
from lostreg.errors import ImageError, UsageError
from lostreg.images import MAX_PIXELS, SUFFIXES, Photograph, read_photograph
from lostreg.layout import holds_overlays
from lostreg.videos import VIDEO_SUFFIXES, frames_in


@dataclass(frozen=True)
class ImageItem:
    """One picture to be read.

    Attributes:
        key: names it within the run.
        path: where it comes from, absolute; members of archives and frames of videos behind a colon.
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
        return read_photograph(
            self.content, upright=upright, max_pixels=max_pixels, needed_side=needed_side, name=self.path
        )


@dataclass(frozen=True)
class Listing:
    """Pictures to come; ``total`` is ``None`` where a stream does not tell beforehand."""

    items: Iterable[ImageItem]
    total: int | None


def list_sources(
    sources: Iterable[str], stdin: TextIO, *, every: int = 1, stopped: Callable[[], bool] = lambda: False
) -> Listing:
    """Expand the sources of a command line.

    Args:
        sources: as typed.
        stdin: read for a source ``-``.
        every: of a video, take every so-many-th frame.
        stopped: asked while archives and videos are read; once true, nothing more comes of them.

    Raises:
        UsageError: no picture is found at all.
    """
    files: list[ImageItem] = []
    empty: list[ImageItem] = []
    streams: list[Path] = []
    for source in sources:
        if not source:
            raise UsageError("A source is empty, as if from an unset variable; name a picture, a folder or a list.")
        path = Path(source)
        if source != "-" and _is_file(path) and _is_stream(path):
            streams.append(path)
        elif found := list(_expand(source, stdin)):
            files.extend(found)
        else:
            sentence = f"No picture is found in {source} (looked for {_suffixes()})."
            empty.append(ImageItem(source, source, ImageError("missing", sentence)))
    if not files and not streams:
        raise UsageError(f"No pictures found in {', '.join(sources) or 'no source'} (looked for {_suffixes()}).")
    items = _with_unique_keys(files + empty)
    if not streams:
        return Listing(items, len(items))
    return Listing(_chain(items, streams, every, stopped), None)


def in_shard(key: str, shard: tuple[int, int]) -> bool:
    """Tell whether a key belongs to shard ``(i, n)``, i from 1: by its hash, so the order of listing is free."""
    index, count = shard
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8]) % count == index - 1


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/n``, i from 1 to n.

    Raises:
        UsageError: anything else.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"--shard must be i/n with i from 1 to n, such as 1/4, but it is {text!r}.")
    return index, count


def find_pictures(folder: Path, refused: Callable[[OSError], object]) -> Iterator[Path]:
    """Yield the pictures in a folder and below, in a stable order, but for what a run drew.

    Args:
        folder: searched with what links in it lead to, but not up to where the link lies.
        refused: told of folders that cannot be listed.
    """
    for where, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        below = [Path(where, each) for each in sorted(folders)]
        folders[:] = [each.name for each in below if not (holds_overlays(each) or _leads_up(each))]
        for name in sorted(names):
            path = Path(where, name)
            if path.suffix.lower() in SUFFIXES:
                yield path


def _leads_up(folder: Path) -> bool:
    """Tell whether a link leads to a folder that it was reached through, where a search would never end."""
    if not folder.is_symlink():
        return False
    target = os.path.realpath(folder)
    return any(os.path.realpath(parent) == target for parent in folder.absolute().parents)


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
    for path in find_pictures(folder, refused.append):
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
    for number, line in enumerate(lines):
        name = line.rstrip("\r\n")
        if number == 0:
            name = name.removeprefix("\ufeff")  # the mark that some editors put in front
        if name.strip():
            yield ImageItem(name, str(base / name), base / name)


def _with_unique_keys(items: list[ImageItem]) -> list[ImageItem]:
    """Drop pictures named twice, and give colliding keys their path as it was typed; paths become absolute."""
    chosen: dict[str, ImageItem] = {}
    known: set[str] = set()
    for item in items:
        absolute = os.path.abspath(item.path)  # noqa: PTH100 - resolve() would follow links
        if absolute in known:
            continue
        known.add(absolute)
        key = _clean(item.key)
        if key in chosen:
            key = _clean(item.path)
        while key in chosen:
            key += "~"
        chosen[key] = ImageItem(key, absolute, item.content)
    return list(chosen.values())


def _clean(key: str) -> str:
    """Return a relative key with ``/`` between its parts and none of ``.`` and ``..``."""
    parts = PurePosixPath(key.replace("\\", "/") if os.sep == "\\" else key).parts
    return "/".join(part for part in parts if part not in {"/", ".", ".."}) or "unnamed"


def _chain(items: list[ImageItem], streams: list[Path], every: int, stopped: Callable[[], bool]) -> Iterator[ImageItem]:
    """Yield files, then what archives and videos hold, under keys that no other picture has."""
    keys, paths = {item.key for item in items}, {item.path for item in items}
    yield from items
    for where, stream in _named_once(streams).items():
        is_video = stream.suffix.lower() in VIDEO_SUFFIXES
        for item in _from_video(stream, where, every, stopped) if is_video else _from_archive(stream, where, stopped):
            yield replace(item, key=_free(item.key, keys), path=_free(item.path, paths))


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, and take it."""
    while name in taken:
        name += "~"
    taken.add(name)
    return name


def _named_once(paths: list[Path]) -> dict[str, Path]:
    """Return paths as typed, by where they are."""
    chosen: dict[str, Path] = {}
    for path in paths:
        chosen.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - as above
    return chosen


def _from_video(path: Path, where: str, every: int, stopped: Callable[[], bool]) -> Iterator[ImageItem]:
    prefix = _clean(path.as_posix())
    try:
        for name, content in frames_in(path, every, stopped):
            yield ImageItem(f"{prefix}/{name}", f"{where}:{name}", content)
    except ImageError as error:
        yield ImageItem(prefix, where, error)


def _from_archive(path: Path, where: str, stopped: Callable[[], bool]) -> Iterator[ImageItem]:
    """Yield the pictures of a tar in order; no name becomes a path on disk, and ``..`` in one leads nowhere."""
    prefix = _clean(path.as_posix())
    empty = True
    try:
        for name, content in pictures_in(path, stopped):
            empty = False
            yield ImageItem(f"{prefix}/{_clean(name)}", f"{where}:{name}", content)
    except ARCHIVE_ERRORS as error:
        sentence = f"The archive {path} is damaged or cut short: {error}; the pictures before that point are done."
        yield ImageItem(prefix, where, ImageError("damaged", sentence))
    else:
        if empty and not stopped():
            yield ImageItem(prefix, where, ImageError("not-an-image", f"The archive {path} holds no picture."))


def _is_stream(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) or path.suffix.lower() in VIDEO_SUFFIXES


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
