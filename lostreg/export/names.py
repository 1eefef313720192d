"""File names for exports with one file per picture: inside the folder, legal everywhere, never the same twice."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

_FORBIDDEN = frozenset('<>:"|?*\\')
_LONGEST_BYTES = 200  # of the 255 that file systems allow, so that hash and suffix fit


def file_names(keys: Iterable[str], suffix: str) -> dict[str, PurePosixPath]:
    """Return a relative file name for every key, its folders kept.

    ``sub/a.jpg`` becomes ``sub/a`` and the suffix. Where that would clash, the key's own suffix stays
    (``a.jpg.txt`` beside ``a.png.txt``); where even that would, a hash of the key is added. Names that differ only
    in case or in Unicode form count as clashing, for file systems that think so.

    Args:
        keys: different from each other.
        suffix: of the files to be written, with its dot.

    Example:
        >>> {key: str(name) for key, name in file_names(["a.jpg", "a.png", "/../b.jpg"], ".txt").items()}
        {'a.jpg': 'a.jpg.txt', 'a.png': 'a.png.txt', '/../b.jpg': 'b.txt'}
    """
    level = dict.fromkeys(keys, 0)
    while True:
        names = {key: _name(key, suffix, each) for key, each in level.items()}
        clashing = _clashing(names)
        if not clashing:
            return names
        for key in clashing:
            level[key] += 1


def legible(text: str) -> str:
    """Return a text without the characters that UTF-8 or XML cannot hold; each becomes ``\\ufffd``."""
    return "".join("\ufffd" if _unwritable(each) else each for each in text)


def _name(key: str, suffix: str, level: int) -> PurePosixPath:
    """Name a key: level 0 without its suffix, 1 with it, above with a hash that grows until it is unique."""
    *folders, name = [part for part in key.split("/") if part not in {"", ".", ".."}] or ["unnamed"]
    stem = PurePosixPath(name).stem if level == 0 else name
    if level > 1:
        stem = f"{_cut(stem)}-{_hash(key)[: 8 * (level - 1)]}"
    return PurePosixPath(*map(_legal, folders), _legal(stem) + suffix)


def _legal(part: str) -> str:
    clean = "".join("_" if each in _FORBIDDEN or _unwritable(each) else each for each in part)
    if len(clean.encode()) > _LONGEST_BYTES:
        clean = f"{_cut(clean)}-{_hash(part)[:16]}"
    bare = clean.rstrip(". ")  # Windows drops them, which would make two names one
    return bare + "_" * (len(clean) - len(bare))


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[: _LONGEST_BYTES - 80].decode("utf-8", "ignore")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _unwritable(character: str) -> bool:
    code = ord(character)
    return code < 32 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code in {0xFFFE, 0xFFFF}


def _clashing(names: dict[str, PurePosixPath]) -> set[str]:
    """Return the keys whose file is another's file, or lies where another needs a folder."""
    owners: dict[str, list[str]] = defaultdict(list)
    folders: set[str] = set()
    for key, name in names.items():
        owners[_folded(name)].append(key)
        folders.update(_folded(parent) for parent in name.parents)
    return {key for name, keys in owners.items() if len(keys) > 1 or name in folders for key in keys}


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())
