"""Discovery methods behind one interface: pure functions of features, no files, no timm, no CLI."""

from __future__ import annotations

from lostreg.errors import UsageError
from lostreg.methods import (
    attention_seed,
    diffusion,
    dino_seg,
    fitted,
    head_consensus,
    lost,
    maskcut,
    tokencut,
    whole_image,
)
from lostreg.methods.base import Method, Proposal

_MODULES = (lost, dino_seg, tokencut, maskcut, attention_seed, diffusion, head_consensus, fitted, whole_image)

METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in _MODULES}


def get_method(name: str) -> Method:
    """Return a method by name.

    Raises:
        UsageError: no method has that name.
    """
    if name not in METHODS:
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, but it is {name!r}.")
    return METHODS[name]


__all__ = ["METHODS", "Method", "Proposal", "get_method"]
