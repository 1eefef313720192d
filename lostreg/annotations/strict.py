"""JSON without surprises: nothing is read as something else, and nothing is read twice."""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeGuard

from lostreg.errors import AnnotationError

LARGEST = 1e9
"""No pixel, score or area of a picture is larger; it also keeps infinities out."""


def read_json(path: Path, leave_out: Collection[str] = ()) -> Any:
    """Read a JSON file in UTF-8.

    Args:
        path: the file.
        leave_out: names of members that are dropped wherever they occur, which saves their memory.

    Raises:
        AnnotationError: the file cannot be read, is no JSON, names a member twice, holds NaN or Infinity, or is
            nested too deeply.
    """

    def make_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(members)
        if len(values) != len(members):
            twice, _ = Counter(name for name, _ in members).most_common(1)[0]
            raise AnnotationError(f"{path}: an object names {twice!r} twice; only one of the two can be meant.")
        for name in leave_out:
            values.pop(name, None)
        return values

    def refuse_constant(text: str) -> Any:
        raise AnnotationError(f"{path} holds {text}, which is no number of JSON; repair the program that wrote it.")

    try:
        text = path.read_bytes().decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=make_object, parse_constant=refuse_constant)
    except FileNotFoundError:
        raise AnnotationError(f"No file at {path}.") from None
    except RecursionError:
        raise AnnotationError(f"{path} is nested too deeply to be an annotation file.") from None
    except OSError as error:
        raise AnnotationError(f"Cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:  # no UTF-8, no JSON, or a whole number of thousands of digits
        raise AnnotationError(f"{path} is not a JSON file: {error}.") from error


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number that a picture can need: finite, no ``true``, within 1e9."""
    return type(value) in (int, float) and -LARGEST < value < LARGEST


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is a whole number of 63 bits, such as an id; 1.0 and ``true`` are not."""
    return type(value) is int and -(2**63) < value < 2**63


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a JSON value is a text that can be printed and name a file: not empty, no null, whole characters."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write but no file name can hold
        return False
    return True


def are_numbers(values: Any, count: int) -> TypeGuard[list[float]]:
    """Whether a JSON value is a list of so many numbers."""
    return isinstance(values, list) and len(values) == count and all(map(is_number, values))


def brief(value: Any) -> str:
    """Return a JSON value as a short text for a sentence."""
    return reprlib.repr(value)
