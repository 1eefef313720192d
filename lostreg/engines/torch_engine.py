"""PyTorch, eager: fp32, or autocast to a shorter type where the device computes in it."""

from __future__ import annotations

import platform

import torch
from torch import nn

from lostreg.errors import UsageError
from lostreg.settings import EngineName, Part, Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """Runs the view as it is, with fused attention.

    Args:
        device: where the weights lie.
        precision: of matrix products; norms and softmax stay in fp32.

    Raises:
        UsageError: the device does not compute in that precision.
    """

    name: EngineName = "torch"
    lanes = 1

    def __init__(self, device: torch.device, precision: Precision) -> None:
        """Refuse a precision that the device would only emulate."""
        native = native_precisions(device)
        if precision not in native:
            raise UsageError(
                f"--precision {precision} is not what {device.type} computes in here (it has {', '.join(native)}); "
                f"the next best choice is --precision {native[-1]}."
            )
        self.device = device
        self.precision: Precision = precision

    @torch.inference_mode()
    def run(self, view: nn.Module, inputs: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Run a tapped ViT; from pinned memory the copy to a GPU overlaps with what it is still doing."""
        inputs = inputs.to(self.device, non_blocking=True)
        with autocast(self.device, self.precision):
            outputs: dict[Part, torch.Tensor] = view.forward_features(inputs)  # type: ignore[operator]
        return outputs


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which a forward runs at a precision."""
    dtype = _DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def native_precisions(device: torch.device) -> tuple[Precision, ...]:
    """Return the precisions that a device computes in, the fastest last."""
    match device.type:
        case "cuda":
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
            return ("fp32", "fp16", "bf16") if has_bf16 else ("fp32", "fp16")
        case "mps":
            return ("fp32", "fp16")
        case _:
            return ("fp32", "bf16") if _cpu_has_bf16() else ("fp32",)


def _cpu_has_bf16() -> bool:
    if platform.machine() in {"arm64", "aarch64"}:
        return bool(torch.cpu.get_capabilities().get("bf16", False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
