"""Which device runs the ViT."""

from __future__ import annotations

import torch

from lostreg.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return a device that exists here; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: the device is unknown or not present.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device must be auto, cpu, cuda, cuda:N or mps, but it is {name!r}.") from None
    present = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= present:
        raise UsageError(f"--device {name} is not present here ({present} of type {device.type} found).")
    return device
