"""OpenVINO on the CPU: the ViT compiled for inputs of any size, and once more for each common one.

Position embeddings are resized in PyTorch and remembered for the last grids: so one compiled model serves every grid,
and no resizing is rewritten. A model that knows its grid is quicker, but compiling takes part of a second and memory of
the size of the weights, so only the grids that are named get their own; their last digits differ. The first batch of
each model runs through PyTorch in fp32 too; where the two differ by more than the precision explains, the engine
refuses instead of giving boxes.

One forward on all cores waits at every layer for the slowest of them. Where many pictures wait, several forwards at
once, each on its share of the cores, give more pictures per second: ``lanes``.
"""

from __future__ import annotations

from collections.abc import Collection
from threading import Lock
from typing import Any

import torch
from torch import nn

from lostreg.engines.agreement import check_agreement
from lostreg.engines.base import Grid, grid_of
from lostreg.engines.torch_engine import TorchEngine, native_precisions
from lostreg.errors import ModelError, UsageError
from lostreg.settings import EngineName, Part, Precision


class OpenVinoEngine:
    """Runs the blocks of a view in OpenVINO.

    Args:
        device: must be the CPU.
        precision: fp32, or bf16 where the CPU has it.
        lanes: how many forwards share the cores.
        grids: rows and columns of patches of which so many pictures come that each is worth a model of its own.

    Raises:
        UsageError: OpenVINO is not installed, the device is not a CPU, or the CPU lacks the precision.
    """

    name: EngineName = "openvino"

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        lanes: int = 1,
        grids: Collection[Grid] = (),
    ) -> None:
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
        self.grids = frozenset(grids)
        self._reference = TorchEngine(device, "fp32")
        self._models: dict[nn.Module, Any] = {}
        self._compiled: dict[tuple[nn.Module, Grid | None], nn.Module] = {}
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
        grid_hw = grid_of(view, inputs)
        key = view, grid_hw if grid_hw in self.grids else None
        with self._compiling:
            if key not in self._compiled:
                self._compiled[key] = self._checked(*key, inputs)
        return self._reference.run(self._compiled[key], inputs)

    def _checked(self, view: nn.Module, grid_hw: Grid | None, inputs: torch.Tensor) -> nn.Module:
        """Return a compiled view after it has given what PyTorch gives."""
        expected = self._reference.run(view, inputs)
        compiled = self._compile(view, grid_hw)
        found = self._reference.run(compiled, inputs)
        check_agreement(found, expected, self.precision, "OpenVINO's")
        return compiled

    def _compile(self, view: nn.Module, grid_hw: Grid | None) -> nn.Module:
        """Return what gives a view's parts by OpenVINO, of one grid or of any."""
        from timm.models.vision_transformer import VisionTransformer

        from lostreg.engines.openvino_model import CompiledVit, vit_model

        if not isinstance(view, VisionTransformer):
            raise ModelError(
                f"--engine openvino runs ViTs without rotary position embedding, but this one is built as "
                f"{type(view).__name__}; use --engine torch."
            )
        if view not in self._models:
            self._models[view] = vit_model(self._core, view)
        return CompiledVit(self._core, self._models[view], view, self.precision, self.lanes, grid_hw)
