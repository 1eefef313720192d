"""The blocks of a ViT as a compiled OpenVINO model, for any number of patches, and where it is kept.

Converting takes seconds, so what is compiled is written to the cache as a file and read back by the next process. The
file's name is a checksum of everything that its content depends on: the weights, how the blocks are built, what is
read of them, the precision, the processor and the versions. A file that OpenVINO refuses is made anew; what was used
longest ago makes room.
"""

from __future__ import annotations

import hashlib
import io
import sys
import warnings
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from torch import nn

from lostreg.errors import ModelError
from lostreg.files import cache_dir, trim, written_whole
from lostreg.settings import Part, Precision

KEPT_MOST_BYTES = 10**9
"""A dozen compiled ViT-S."""

_HINTS = {"fp32": "f32", "bf16": "bf16"}


def compiled_blocks(core: Any, view: Any, precision: Precision, lanes: int) -> CompiledBlocks:
    """Return the blocks of a tapped view in OpenVINO, from the cache or converted.

    Args:
        core: an ``openvino.Core``.
        view: a timm ViT whose last block is a :class:`~lostreg.tap.Tap`.
        precision: fp32 or bf16.
        lanes: how many threads may call it at once; they share the processor's cores.

    Raises:
        ModelError: OpenVINO cannot convert or compile the blocks.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": lanes,
    }
    kept = cache_dir() / "openvino" / f"{_fingerprint(core, view, precision)}.blob"
    compiled = _read(core, kept, settings)
    if compiled is None:
        print("lostreg: compiling the ViT for OpenVINO (once per model and what is read of it)", file=sys.stderr)
        compiled = _convert(core, view, settings)
        _keep(compiled, kept)
    return CompiledBlocks(compiled, sorted(view.blocks[-1].parts), lanes)


class CompiledBlocks(nn.Module):
    """Stands in for the blocks of a view and gives the outputs of its tap; several threads may call it."""

    def __init__(self, compiled: Any, parts: list[Part], lanes: int) -> None:
        """Take a compiled model whose outputs are ``parts``, in that order."""
        super().__init__()
        self._parts = parts
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(lanes):
            self._idle.put(compiled.create_infer_request())

    def forward(self, tokens: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Run ``(B, T, D)`` ``float32`` tokens through the blocks."""
        request = self._idle.get()
        try:
            request.infer([tokens.contiguous().numpy()], share_inputs=True)
            outputs = request.results.values()
            return {part: torch.from_numpy(values.copy()) for part, values in zip(self._parts, outputs, strict=True)}
        finally:
            self._idle.put(request)


def _read(core: Any, kept: Path, settings: dict[str, Any]) -> Any:
    """Return the kept model, or ``None`` where there is none that this OpenVINO reads."""
    try:
        compiled = core.import_model(kept.read_bytes(), "CPU", settings)
    except (FileNotFoundError, RuntimeError):
        return None
    with suppress(OSError):  # a cache that can only be read never makes room
        kept.touch()
    return compiled


def _keep(compiled: Any, kept: Path) -> None:
    exported = io.BytesIO()
    compiled.export_model(exported)
    try:
        with written_whole(kept) as temporary:
            temporary.write_bytes(exported.getbuffer())
        trim(kept.parent, KEPT_MOST_BYTES)
    except OSError as error:  # a cache that cannot be written costs time at the next start, not this run
        print(f"lostreg: the compiled model cannot be kept in {kept.parent}: {error.strerror}", file=sys.stderr)


@torch.no_grad()
def converted_blocks(view: Any) -> Any:
    """Return the blocks of a tapped view as an ``openvino.Model`` of ``(B, T, D)`` tokens, B and T left open."""
    import openvino

    width = view.embed_dim
    example = torch.zeros(1, view.num_prefix_tokens + 16, width)
    with warnings.catch_warnings():  # that tracing is deprecated, and that it meets constants
        warnings.simplefilter("ignore")
        return openvino.convert_model(_AsTuple(view.blocks), example_input=(example,), input=[[-1, -1, width]])


def _convert(core: Any, view: Any, settings: dict[str, Any]) -> Any:
    try:
        return core.compile_model(converted_blocks(view), "CPU", settings)
    except Exception as error:  # its front ends raise classes without a common base
        raise ModelError(f"OpenVINO cannot convert this ViT ({type(error).__name__}); use --engine torch.") from error


def _fingerprint(core: Any, view: Any, precision: Precision) -> str:
    """Return a checksum of all that a compiled model depends on."""
    tap = view.blocks[-1]
    versions = [f"{package} {version(package)}" for package in ("openvino", "torch", "timm", "lostreg")]
    processor = core.get_property("CPU", "FULL_DEVICE_NAME"), core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    built = [
        (name, type(module).__name__, module.extra_repr(), getattr(module, "num_heads", None))
        for name, module in view.blocks.named_modules()
    ]
    read = sorted(tap.parts), tap.prefix_tokens, tap.suffix_tokens
    digest = hashlib.sha256(repr((versions, processor, precision, read, built)).encode())
    for name, values in view.blocks.state_dict().items():
        digest.update(name.encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


class _AsTuple(nn.Module):
    """Blocks whose last one yields a dict, for a tracer that wants a tuple, in the order of the names."""

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: dict[Part, torch.Tensor] = self.blocks(tokens)
        return tuple(outputs[part] for part in sorted(outputs))
