"""What runs the ViT: one interface, chosen by name.

``torch`` runs everywhere and in fp32 gives the figures that the presets are chosen on. ``compiled`` is PyTorch with its
compiler, on CUDA with CUDA graphs too, for the grids that many pictures share. ``openvino`` is an optional extra for
CPUs. ``auto`` is OpenVINO on a CPU where it is installed and gives on this machine what PyTorch gives, and PyTorch
elsewhere; it never changes the precision. ``lostreg bench`` says what each of them reaches on a machine.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec

import torch
from torch import nn

from lostreg.engines.base import Engine, Grid, is_out_of_memory
from lostreg.engines.torch_engine import TorchEngine, native_precisions
from lostreg.errors import ModelError, UsageError
from lostreg.settings import ENGINES, PRECISIONS, EngineName, Precision

MOST_LANES = 4

MOST_GRIDS = 4
MOST_OPENVINO_BYTES = 4 * 10**8
"""OpenVINO copies the weights for each grid, altogether no more than this: four ViT-S, one ViT-B."""

_TEST_PATCHES = 8


def lanes_for_many(name: str) -> int:
    """Return how many forwards at once give the most pictures per second, as far as that was measured.

    PyTorch has one: its threads are shared by all forwards of a process.
    """
    return min(MOST_LANES, torch.get_num_threads()) if name == "openvino" else 1


def most_own_grids(engine: Engine, vit: nn.Module) -> int:
    """Return how many grids an engine should be told beforehand, to run them quicker; 0 if it gains nothing by it.

    The compiler needs to know them; OpenVINO gains by it in bf16, hardly in fp32.
    """
    if engine.name == "compiled":
        return MOST_GRIDS
    if engine.name == "openvino" and engine.precision == "bf16":
        weights = sum(values.nbytes for values in vit.parameters())
        return min(MOST_GRIDS, MOST_OPENVINO_BYTES // max(weights, 1))
    return 0


def choose_engine(view: nn.Module, patch_size: int, reference: Engine) -> tuple[Engine, str | None]:
    """Return what ``auto`` means for a ViT on this machine, and where that is not the quickest engine, why.

    OpenVINO is taken on a CPU if it is installed, converts the ViT, and gives what PyTorch gives on a built-in picture.

    Args:
        view: a timm ViT whose last block is a :class:`~lostreg.tap.Tap`, on the CPU.
        patch_size: of the ViT, in pixels.
        reference: PyTorch on the CPU; the precision is its own.
    """
    if find_spec("openvino") is None:
        return reference, "OpenVINO, which is quicker on CPUs, is not installed (pip install 'lostreg[openvino]')"
    side = _TEST_PATCHES * patch_size
    picture = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        engine = make_engine("openvino", reference.precision, torch.device("cpu"))
        engine.run(view, picture)
    except (ModelError, UsageError) as error:
        return reference, str(error)
    return engine, None


def make_engine(
    name: EngineName,
    precision: Precision,
    device: torch.device,
    lanes: int = 1,
    grids: Collection[Grid] = (),
) -> Engine:
    """Return the engine that is asked for; precision ``auto`` is fp32.

    ``auto`` gives PyTorch here, which :func:`choose_engine` needs for comparison.

    Args:
        name: of the engine.
        precision: of the forward.
        device: where the weights lie.
        lanes: how many forwards share the cores, see :func:`lanes_for_many`; PyTorch runs one.
        grids: common grids, see :mod:`lostreg.grids`; PyTorch runs all alike.

    Raises:
        UsageError: unknown, not installed, not for this device, or a precision that the device lacks; the sentence
            names the next best choice.
    """
    if name not in ENGINES:
        raise UsageError(f"--engine must be one of {', '.join(ENGINES)}, but it is {name!r}.")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision must be one of {', '.join(PRECISIONS)}, but it is {precision!r}.")
    chosen: Precision = "fp32" if precision == "auto" else precision
    if name == "compiled":
        from lostreg.engines.compiled_engine import CompiledEngine

        return CompiledEngine(device, chosen, grids)
    if name == "openvino":
        from lostreg.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(device, chosen, lanes, grids)
    return TorchEngine(device, chosen)


__all__ = [
    "Engine",
    "TorchEngine",
    "choose_engine",
    "is_out_of_memory",
    "lanes_for_many",
    "make_engine",
    "most_own_grids",
    "native_precisions",
]
