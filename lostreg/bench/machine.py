"""What the machine can do: the rate of large matrix products, and how much memory was taken."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.functional import conv2d

from lostreg.bench.clock import alternate
from lostreg.settings import Precision

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Products:
    """The same matrix product several times over, as quick as this machine does it.

    Attributes:
        gflop: multiplications and additions of all, in 10^9.
        run: does them.
    """

    gflop: float
    run: Callable[[], None]


def products(device: torch.device, precision: Precision, side: int = 2048, count: int = 8) -> Products:
    """Return square matrix products of ``side`` in a precision of a device.

    On CPUs fp32 is also tried as a 1 x 1 convolution in oneDNN: PyTorch hands products in fp32 to another library,
    which may be slower, and an engine may be above it.
    """
    dtype = _DTYPES[precision]
    matrix = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    ways: dict[str, Callable[[], object]] = {"product": lambda: torch.matmul(matrix, matrix)}
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        image = matrix.reshape(1, side, side // 64, 64).to_mkldnn()
        kernel = matrix.reshape(side, side, 1, 1)
        ways["convolution"] = lambda: conv2d(image, kernel)

    @torch.inference_mode()
    def repeated(way: Callable[[], object]) -> None:
        for _ in range(count):
            way()
        synchronise(device)

    tried = alternate({name: partial(repeated, way) for name, way in ways.items()}, rounds=3)
    quickest = min(tried, key=lambda name: tried[name].median)
    return Products(2 * count * side**3 / 1e9, partial(repeated, ways[quickest]))


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
