"""Heads as files: safetensors, with what the head says of itself as one JSON text in the metadata."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from lostreg.errors import WeightsError
from lostreg.files import written_whole
from lostreg.heads.head import KINDS, Head, HeadInfo, Net, new_net

_KEY = "lostreg_head"
"""One key: safetensors keeps no order among several, and equal heads shall be equal files."""


def make_head(info: HeadInfo, net: Net) -> tuple[Head, bytes]:
    """Return a head and the content of its file."""
    tensors = {name: values.detach().cpu().contiguous() for name, values in net.state_dict().items()}
    content = save(tensors, {_KEY: json.dumps(info.to_json(), sort_keys=True)})
    return Head(info, net.eval().requires_grad_(False), hashlib.sha256(content).hexdigest()), content


def write_head(path: Path, content: bytes) -> None:
    """Write the content of a head file, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def read_head(path: Path) -> Head:
    """Read a head file.

    Raises:
        WeightsError: no such file, or no whole head that this version knows.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"No head at {path}; make one with `lostreg fit`.") from None
    except OSError as error:
        raise WeightsError(f"Cannot read the head {path}: {error.strerror or error}.") from error
    return parse_head(content, path.name)


def parse_head(content: bytes, name: str) -> Head:
    """Read a head from the content of its file, ``name``.

    Raises:
        WeightsError: it is no whole head that this version knows.
    """
    try:
        tensors = load(content)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"{name} is not a whole safetensors file: {error}.") from error
    info = _parse_info(content, name)
    if any(not bool(torch.isfinite(values).all()) for values in tensors.values()):
        raise WeightsError(f"The head {name} holds values that are not finite: the file is broken.")
    try:
        net = new_net(info)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(f"The head {name} describes a network that this version does not have: {error}.") from error
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1].strip()
        raise WeightsError(f"The tensors of the head {name} are not those of its kind {info.kind}: {last}") from error
    return Head(info, net.eval().requires_grad_(False), hashlib.sha256(content).hexdigest())


def _parse_info(content: bytes, name: str) -> HeadInfo:
    """Read the metadata; the header's length stands in the first 8 bytes, and the file is known to be whole."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get(_KEY)
    if text is None:
        raise WeightsError(f"{name} is no head of `lostreg fit`: it does not say what it was fitted on.")
    try:
        values: dict[str, Any] = json.loads(text)
        info = HeadInfo(**{field.name: values[field.name] for field in fields(HeadInfo)})
        known = info.kind in KINDS
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"The head {name} says of itself what cannot be read: {error}.") from error
    if not known:
        raise WeightsError(f"The head {name} is of kind {info.kind!r}; this version knows {', '.join(KINDS)}.")
    return info
