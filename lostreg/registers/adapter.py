"""Adapter files: what distillation has trained of a ViT, laid over the stock weights when the model is loaded.

A safetensors file in half precision with the registers, the positions of the patches, the patch convolution and the
last block, and in its header where they come from. It fits one file of weights only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lostreg.errors import RunError, WeightsError
from lostreg.files import sha256_of, written_whole
from lostreg.registers.added import add_registers, trainable
from lostreg.weights import Weights
from lostreg.weights.checkpoint import StateDict, read_state_dict

FORMAT = "lostreg-registers-1"


@dataclass(frozen=True)
class Adapter:
    """Trained tensors and their origin.

    Attributes:
        tensors: by timm's names, ``float32``; ``reg_token`` is ``(1, m, D)``.
        model: the catalogue's name of the ViT they were trained on.
        weights_sha256: of that ViT's file of weights.
        facts: how they were trained, JSON-ready.
        sha256: of the adapter's file; empty before it is written.
    """

    tensors: StateDict
    model: str
    weights_sha256: str
    facts: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def registers(self) -> int:
        """How many registers there are."""
        return self.tensors["reg_token"].shape[1]


def write_adapter(path: Path, adapter: Adapter) -> None:
    """Write an adapter file, whole or not at all.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    halves = {name: values.detach().to("cpu", torch.float16).contiguous() for name, values in adapter.tensors.items()}
    header = {
        "format": FORMAT,
        "model": adapter.model,
        "weights_sha256": adapter.weights_sha256,
        "facts": json.dumps(adapter.facts, sort_keys=True),
    }
    try:
        with written_whole(path) as temporary:
            save_file(halves, temporary, metadata=header)
    except (OSError, SafetensorError) as error:  # safetensors wraps what the disk says in a class of its own
        raise RunError(f"Cannot write the adapter {path}: {error}; free some space or name another folder.") from error


def read_adapter(path: Path) -> Adapter:
    """Read an adapter file.

    Raises:
        WeightsError: no such file, cut short, values that are not finite, or not an adapter.
    """
    tensors = read_state_dict(path)
    header = _header(path)
    registers = tensors.get("reg_token")
    if header.get("format") != FORMAT or registers is None or registers.ndim != 3:
        raise WeightsError(
            f"{path.name} is not an adapter: expected a file that `lostreg registers distill` has written "
            f"({FORMAT}), found {header.get('format', 'safetensors of another kind')}."
        )
    full = {name: values.float() for name, values in tensors.items()}
    return Adapter(full, header["model"], header["weights_sha256"], json.loads(header["facts"]), sha256_of(path))


def _header(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, framework="pt") as opened:
        return opened.metadata() or {}


def check_adapter(adapter: Adapter, weights: Weights, filename: str) -> None:
    """Refuse an adapter of another backbone.

    Raises:
        WeightsError: it was trained on other weights.
    """
    if adapter.weights_sha256 != weights.sha256:
        raise WeightsError(
            f"{filename} was trained on {adapter.model} with weights {adapter.weights_sha256[:12]}…, but this is "
            f"{weights.entry.name} with {weights.sha256[:12]}…; name that model or distil registers for this one."
        )


def apply_adapter(model: nn.Module, adapter: Adapter, name: str) -> Any:
    """Return the ViT with the adapter's registers and weights; what was not trained is shared with ``model``.

    Args:
        model: the timm model with its stock weights.
        adapter: read from a file.
        name: of the model, for the sentence of an error.

    Raises:
        ModelError: the model cannot take registers.
        WeightsError: the adapter's tensors are not those of this model.
    """
    changed = add_registers(model, adapter.tensors["reg_token"][0], name)
    expected = {each: tuple(values.shape) for each, values in trainable(changed).items()}
    found = {each: tuple(values.shape) for each, values in adapter.tensors.items()}
    if found != expected:
        odd = sorted(each for each in found.keys() | expected.keys() if found.get(each) != expected.get(each))[0]
        raise WeightsError(
            f"The adapter does not fit {name}: expected {odd} of shape {expected.get(odd, 'none')}, "
            f"found {found.get(odd, 'none')}."
        )
    changed.load_state_dict(adapter.tensors, strict=False)
    return changed
