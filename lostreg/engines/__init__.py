"""What runs the ViT: one interface, chosen by name.

``torch`` runs everywhere and in fp32 gives the figures that the presets are chosen on. ``openvino`` is an optional
extra for CPUs. ``auto`` is ``torch``, so that a command gives the same boxes whatever else is installed: the engine
is part of what boxes depend on. ``lostreg bench`` says which one is fastest on a machine.
"""

from __future__ import annotations

import torch

from lostreg.engines.base import Engine
from lostreg.engines.torch_engine import TorchEngine, native_precisions
from lostreg.errors import UsageError
from lostreg.settings import ENGINES, PRECISIONS, EngineName, Precision

MOST_LANES = 4


def lanes_for_many(name: str) -> int:
    """Return how many forwards at once give the most pictures per second, as far as that was measured.

    PyTorch has one: its threads are shared by all forwards of a process.
    """
    return min(MOST_LANES, torch.get_num_threads()) if name == "openvino" else 1


def make_engine(name: EngineName, precision: Precision, device: torch.device, lanes: int = 1) -> Engine:
    """Return the engine that is asked for; precision ``auto`` is fp32.

    Args:
        name: of the engine.
        precision: of the forward.
        device: where the weights lie.
        lanes: how many forwards share the cores, see :func:`lanes_for_many`; PyTorch runs one.

    Raises:
        UsageError: unknown, not installed, not for this device, or a precision that the device lacks; the sentence
            names the next best choice.
    """
    if name not in ENGINES:
        raise UsageError(f"--engine must be one of {', '.join(ENGINES)}, but it is {name!r}.")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision must be one of {', '.join(PRECISIONS)}, but it is {precision!r}.")
    chosen: Precision = "fp32" if precision == "auto" else precision
    if name != "openvino":
        return TorchEngine(device, chosen)
    from lostreg.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(device, chosen, lanes)


__all__ = ["Engine", "TorchEngine", "lanes_for_many", "make_engine", "native_precisions"]
