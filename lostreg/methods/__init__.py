"""Discovery methods behind one interface: pure functions of features, no files, no timm, no CLI."""

from __future__ import annotations

from lostreg.errors import UsageError
from lostreg.methods import dino_seg, lost, whole_image
from lostreg.methods.base import Method, Proposal

METHODS: dict[str, Method] = {m.name: m for m in (lost.METHOD, dino_seg.METHOD, whole_image.METHOD)}


def get_method(name: str) -> Method:
    """Return a method by name.

    Raises:
        UsageError: no method has that name.
    """
    if name not in METHODS:
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, but it is {name!r}.")
    return METHODS[name]


__all__ = ["METHODS", "Method", "Proposal", "get_method"]
