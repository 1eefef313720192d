"""OpenVINO on the CPU: the ViT compiled once for inputs of any size, checked against PyTorch at first use.

Position embeddings are resized in PyTorch and remembered for the last grids: so one compiled model serves every grid,
and no resizing is rewritten. The first batch of each view runs through PyTorch in fp32 too; where the two differ by
more than the precision explains, the engine refuses instead of giving boxes.

One forward on all cores waits at every layer for the slowest of them. Where many pictures wait, several forwards at
once, each on its share of the cores, give more pictures per second: ``lanes``.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

import torch
from torch import nn

from lostreg.engines.torch_engine import TorchEngine, native_precisions
from lostreg.errors import ModelError, UsageError
from lostreg.settings import EngineName, Part, Precision

TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
"""Largest relative error of a part, ``|a - b| / |b|``, that the precision explains. Keys and values in bf16 differ by
about 0.01, attention, which is an exponential, by up to 0.04."""


class OpenVinoEngine:
    """Runs the blocks of a view in OpenVINO.

    Args:
        device: must be the CPU.
        precision: fp32, or bf16 where the CPU has it.
        lanes: how many forwards share the cores.

    Raises:
        UsageError: OpenVINO is not installed, the device is not a CPU, or the CPU lacks the precision.
    """

    name: EngineName = "openvino"

    def __init__(self, device: torch.device, precision: Precision, lanes: int = 1) -> None:
        """Refuse what cannot be run here."""
        next_best = f"--engine torch --precision {native_precisions(device)[-1]}"
        if device.type != "cpu":
            raise UsageError(
                f"--engine openvino runs on the CPU, but the device is {device}; use {next_best} or --device cpu."
            )
        try:
            import openvino
        except ImportError:
            raise UsageError(
                "--engine openvino needs OpenVINO, which is not installed: pip install 'lostreg[openvino]'; "
                f"the next best choice is {next_best}."
            ) from None
        self._core: Any = openvino.Core()
        native = self.precisions()
        if precision not in native:
            raise UsageError(
                f"--precision {precision} is not what OpenVINO computes in on this CPU (it has {', '.join(native)}); "
                f"the next best choice is --precision {native[-1]}."
            )
        self.precision: Precision = precision
        self.lanes = lanes
        self._reference = TorchEngine(device, "fp32")
        self._compiled: dict[nn.Module, nn.Module] = {}
        self._compiling = Lock()

    def precisions(self) -> tuple[Precision, ...]:
        """Return the precisions that OpenVINO computes in on this CPU, the fastest last."""
        has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return ("fp32", "bf16") if has_bf16 else ("fp32",)

    def run(self, view: nn.Module, inputs: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Run a tapped ViT.

        Raises:
            ModelError: the ViT cannot be converted, or its outputs are not those of PyTorch.
        """
        with self._compiling:
            if view not in self._compiled:
                self._compiled[view] = self._checked(view, inputs)
        return self._reference.run(self._compiled[view], inputs)

    def _checked(self, view: nn.Module, inputs: torch.Tensor) -> nn.Module:
        """Return a compiled view after it has given what PyTorch gives."""
        expected = self._reference.run(view, inputs)
        compiled = self._compile(view)
        found = self._reference.run(compiled, inputs)
        for part, reference in expected.items():
            error = float((found[part] - reference).norm() / reference.norm())
            if not error <= TOLERANCE[self.precision]:
                raise ModelError(
                    f"OpenVINO's {part} differs from PyTorch's by {100 * error:.2g} % in {self.precision}, more than "
                    f"the {100 * TOLERANCE[self.precision]:g} % that the precision explains; use --engine torch."
                )
        return compiled

    def _compile(self, view: nn.Module) -> nn.Module:
        """Return what gives a view's parts by OpenVINO."""
        from timm.models.vision_transformer import VisionTransformer

        from lostreg.engines.openvino_model import compiled_vit

        if not isinstance(view, VisionTransformer):
            raise ModelError(
                f"--engine openvino runs ViTs without rotary position embedding, but this one is built as "
                f"{type(view).__name__}; use --engine torch."
            )
        return compiled_vit(self._core, view, self.precision, self.lanes)
