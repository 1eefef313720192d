"""State dicts from files: safetensors, or PyTorch files through the weights-only reader, never a free pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lostreg.catalogue import BY_NAME, ModelEntry
from lostreg.errors import WeightsError

StateDict = dict[str, torch.Tensor]
_WRAPPERS = ("state_dict", "model", "teacher", "model_state_dict")
_SIZES = {384: "s", 768: "b", 1024: "l", 1536: "g"}


def read_state_dict(path: Path) -> StateDict:
    """Read a checkpoint's tensors, unwrapped, all finite.

    Raises:
        WeightsError: no such file, not a checkpoint, cut short, code inside, or values that are not finite.
    """
    if not path.is_file():
        raise WeightsError(f"No checkpoint file at {path}.")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    broken = [name for name, values in state.items() if not bool(torch.isfinite(values).all())]
    if broken:
        raise WeightsError(
            f"{path.name} holds values that are not finite in {broken[0]}"
            f"{f' and {len(broken) - 1} more tensors' if len(broken) > 1 else ''}: the file is broken."
        )
    return state


def _read_safetensors(path: Path) -> StateDict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: StateDict = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is not a whole safetensors file: {error}.") from error
    return tensors


def _read_torch(path: Path) -> StateDict:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen classes for files that are not what they claim
        refused = isinstance(error, UnpicklingError) and "Weights only" in str(error)
        found = (
            "it holds more than tensors, and what else it holds could be code"
            if refused
            else "it is damaged or of another kind"
        )
        raise WeightsError(
            f"{path.name} is not a file of weights: {found}; expected a dictionary of tensors written by torch.save, "
            "or safetensors."
        ) from error
    return _unwrap(content, path)


def _unwrap(content: Any, path: Path) -> StateDict:
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path.name} holds a {type(content).__name__}, expected a dictionary of tensors.")
    tensors = {
        str(name).removeprefix("module.").removeprefix("backbone."): value
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise WeightsError(f"{path.name} holds no tensors.")
    return tensors


def recognise(state: StateDict) -> ModelEntry | None:
    """Name the catalogue's model that a state dict belongs to, from its shapes; ``None`` if unclear."""
    convolution = state.get("patch_embed.proj.weight")
    if convolution is None or convolution.ndim != 4:
        return None
    size, patch = _SIZES.get(convolution.shape[0], "?"), convolution.shape[-1]
    registers = any(name in state for name in ("reg_token", "register_tokens"))
    layer_scale = any("ls1.gamma" in name for name in state)
    if "storage_tokens" in state or "pos_embed" not in state:
        name = f"dinov3-{size}{patch}"
    elif patch == 14:
        name = f"dinov2-{size}14-reg" if registers else f"dinov2-{size}14"
    elif layer_scale:
        name = f"deit3-{size}{patch}"
    else:
        name = f"dino-{size}{patch}"
    return BY_NAME.get(name)
