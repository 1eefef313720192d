"""OpenVINO on the CPU: the blocks compiled once for any number of patches, checked against PyTorch at first use.

Patch and position embedding stay in PyTorch, a few percent of the work: so one compiled model serves every grid, and
no resampling of position embeddings is rewritten. The compiled model is kept in the cache by OpenVINO itself, under a
hash of graph and weights. The first batch of each view runs through PyTorch in fp32 too; where the two differ by more
than the precision explains, the engine refuses instead of giving boxes.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch
from torch import nn

from lostreg.engines.torch_engine import TorchEngine, native_precisions
from lostreg.errors import ModelError, UsageError
from lostreg.files import cache_dir
from lostreg.settings import Part, Precision
from lostreg.tap import sharing_copy

TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
"""Largest relative error of a part, ``|a - b| / |b|``, that the precision explains. Keys and values in bf16 differ by
about 0.01, attention, which is an exponential, by up to 0.04."""

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """Runs the blocks of a view in OpenVINO.

    Args:
        device: must be the CPU.
        precision: fp32, or bf16 where the CPU has it.

    Raises:
        UsageError: OpenVINO is not installed, the device is not a CPU, or the CPU lacks the precision.
    """

    name = "openvino"

    def __init__(self, device: torch.device, precision: Precision) -> None:
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
        self._openvino: Any = openvino
        self._core = openvino.Core()
        native = self.precisions()
        if precision not in native:
            raise UsageError(
                f"--precision {precision} is not what OpenVINO computes in on this CPU (it has {', '.join(native)}); "
                f"the next best choice is --precision {native[-1]}."
            )
        self.precision: Precision = precision
        self._reference = TorchEngine(device, "fp32")
        self._compiled: dict[nn.Module, nn.Module] = {}

    def precisions(self) -> tuple[Precision, ...]:
        """Return the precisions that OpenVINO computes in on this CPU, the fastest last."""
        has_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return ("fp32", "bf16") if has_bf16 else ("fp32",)

    def run(self, view: nn.Module, inputs: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Run a tapped ViT.

        Raises:
            ModelError: the ViT cannot be converted, or its outputs are not those of PyTorch.
        """
        if view in self._compiled:
            return self._reference.run(self._compiled[view], inputs)
        expected = self._reference.run(view, inputs)
        compiled = self._compile(view)
        found = self._reference.run(compiled, inputs)
        self._check(found, expected)
        self._compiled[view] = compiled
        return found

    def _compile(self, view: Any) -> nn.Module:
        """Return a copy of a view whose blocks run in OpenVINO; the rest is shared."""
        from timm.models.vision_transformer import VisionTransformer

        if not isinstance(view, VisionTransformer):
            raise ModelError(
                f"--engine openvino runs ViTs without rotary position embedding, but this one is built as "
                f"{type(view).__name__}; use --engine torch."
            )
        print("lostreg: compiling the ViT for OpenVINO (once per model and what is read of it)", file=sys.stderr)
        compiled: nn.Module = sharing_copy(view)
        compiled.blocks = CompiledBlocks(self._convert(view), sorted(view.blocks[-1].parts))
        return compiled

    @torch.no_grad()
    def _convert(self, view: Any) -> Any:
        width = view.embed_dim
        example = torch.zeros(1, view.num_prefix_tokens + 16, width)
        try:
            with warnings.catch_warnings():  # that tracing is deprecated, and that it meets constants
                warnings.simplefilter("ignore")
                model = self._openvino.convert_model(
                    _AsTuple(view.blocks), example_input=(example,), input=[[-1, -1, width]]
                )
        except Exception as error:  # its front ends raise classes without a common base
            raise ModelError(
                f"OpenVINO cannot convert this ViT ({type(error).__name__}); use --engine torch."
            ) from error
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "CACHE_DIR": str(cache_dir() / "openvino"),
        }
        return self._core.compile_model(model, "CPU", settings)

    def _check(self, found: dict[Part, torch.Tensor], expected: dict[Part, torch.Tensor]) -> None:
        for part, reference in expected.items():
            error = float((found[part] - reference).norm() / reference.norm())
            if not error <= TOLERANCE[self.precision]:
                raise ModelError(
                    f"OpenVINO's {part} differs from PyTorch's by {100 * error:.2g} % in {self.precision}, more than "
                    f"the {100 * TOLERANCE[self.precision]:g} % that the precision explains; use --engine torch."
                )


class CompiledBlocks(nn.Module):
    """Stands in for the blocks of a view and gives the outputs of its tap."""

    def __init__(self, compiled: Any, parts: list[Part]) -> None:
        """Take a compiled model whose outputs are ``parts``, in that order."""
        super().__init__()
        self._request = compiled.create_infer_request()
        self._parts = parts

    def forward(self, tokens: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Run ``(B, T, D)`` ``float32`` tokens through the blocks."""
        self._request.infer([tokens.contiguous().numpy()], share_inputs=True)
        outputs = self._request.results.values()
        return {part: torch.from_numpy(values.copy()) for part, values in zip(self._parts, outputs, strict=True)}


class _AsTuple(nn.Module):
    """Blocks whose last one yields a dict, for a tracer that wants a tuple, in the order of the names."""

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: dict[Part, torch.Tensor] = self.blocks(tokens)
        return tuple(outputs[part] for part in sorted(outputs))
