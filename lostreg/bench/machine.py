"""What the machine can do: the rate of large matrix products, and how much memory was taken."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import conv2d

from lostreg.bench.clock import alternate
from lostreg.engines import native_precisions
from lostreg.settings import Precision

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def product_peaks(device: torch.device, side: int = 2048, rounds: int = 25) -> dict[Precision, float]:
    """Return the best rate of a square matrix product of ``side``, in GFLOP/s, for each precision of a device.

    On CPUs fp32 is also tried as a 1 x 1 convolution in oneDNN: PyTorch hands products in fp32 to another library,
    which may be slower, and an engine may be above it.
    """
    return {precision: _peak(device, _DTYPES[precision], side, rounds) for precision in native_precisions(device)}


@torch.inference_mode()
def _peak(device: torch.device, dtype: torch.dtype, side: int, rounds: int) -> float:
    matrix = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(device, dtype)

    def product() -> None:
        torch.matmul(matrix, matrix)
        synchronise(device)

    tasks: dict[str, Callable[[], object]] = {"product": product}
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        image = matrix.reshape(1, side, side // 64, 64).to_mkldnn()
        kernel = matrix.reshape(side, side, 1, 1)
        tasks["convolution"] = lambda: conv2d(image, kernel)
    timings = alternate(tasks, rounds)
    return 2 * side**3 / min(min(each.seconds) for each in timings.values()) / 1e9


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """Return the most memory this process has held so far, in megabytes: resident, and on the GPU."""
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"resident": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)}
    if device.type == "cuda":
        found["device"] = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return found


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures were taken on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {"device": name, "threads": torch.get_num_threads(), "platform": platform.platform()}


def _cpu_name() -> str:
    capabilities = torch.cpu.get_capabilities()
    return str(capabilities.get("cpu_name") or platform.processor() or platform.machine())
