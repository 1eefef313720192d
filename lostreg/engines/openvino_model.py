"""A ViT as a compiled OpenVINO model, for any number and size of pictures, and where it is kept.

Converting takes seconds, so what is compiled is written to the cache as a file and read back by the next process. The
file's name is a checksum of everything that its content depends on: the weights, how the ViT is built, what is
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
from lostreg.pos_embed import RememberedPositions
from lostreg.settings import Part, Precision

KEPT_MOST_BYTES = 10**9
"""A dozen compiled ViT-S; the one that was written last stays whatever its size."""

_HINTS = {"fp32": "f32", "bf16": "bf16"}


def compiled_vit(core: Any, view: Any, precision: Precision, lanes: int) -> CompiledVit:
    """Return a tapped view in OpenVINO, from the cache or converted.

    Args:
        core: an ``openvino.Core``.
        view: a timm ViT whose last block is a :class:`~lostreg.tap.Tap`, and whose positions are added.
        precision: fp32 or bf16.
        lanes: how many threads may call it at once; they share the processor's cores.

    Raises:
        ModelError: OpenVINO cannot convert or compile the ViT.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": lanes,
    }
    forward = _Forward(view)
    kept = cache_dir() / "openvino" / f"{_fingerprint(core, forward, precision)}.blob"
    compiled = _read(core, kept, settings)
    if compiled is None:
        print("lostreg: compiling the ViT for OpenVINO (once per model and what is read of it)", file=sys.stderr)
        compiled = _convert(core, view, settings)
        _keep(compiled, kept)
    return CompiledVit(compiled, view, lanes)


class CompiledVit(nn.Module):
    """Stands in for a tapped view; several threads may call it."""

    def __init__(self, compiled: Any, view: Any, lanes: int) -> None:
        """Take what :func:`converted` gave, compiled, and the view that it was made of."""
        super().__init__()
        self._parts: list[Part] = sorted(view.blocks[-1].parts)
        self._patch_hw: tuple[int, int] = view.patch_embed.patch_size
        self._positions = RememberedPositions(view)
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(lanes):
            self._idle.put(compiled.create_infer_request())

    def forward_features(self, inputs: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Run ``(B, 3, H, W)`` ``float32`` inputs, H and W multiples of the patch size."""
        rows, columns = (side // patch for side, patch in zip(inputs.shape[2:], self._patch_hw, strict=True))
        positions = self._positions(rows, columns)
        request = self._idle.get()
        try:
            request.infer([inputs.contiguous().numpy(), positions.numpy()], share_inputs=True)
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
        trim(kept.parent, max(KEPT_MOST_BYTES, kept.stat().st_size))
    except OSError as error:  # a cache that cannot be written costs time at the next start, not this run
        print(f"lostreg: the compiled model cannot be kept in {kept.parent}: {error.strerror}", file=sys.stderr)


@torch.no_grad()
def converted(view: Any) -> Any:
    """Return a tapped view as an ``openvino.Model`` of inputs ``(B, 3, H, W)`` and positions ``(1, T, D)``.

    B, H, W and T are left open; the outputs are the tap's, in the order of their names.
    """
    import openvino

    rows, columns = 4, 5
    height, width = (count * patch for count, patch in zip((rows, columns), view.patch_embed.patch_size, strict=True))
    example = torch.zeros(1, 3, height, width), RememberedPositions(view)(rows, columns)
    shapes = [[-1, 3, -1, -1], [1, -1, view.embed_dim]]
    with warnings.catch_warnings():  # that tracing is deprecated, and that it meets constants
        warnings.simplefilter("ignore")
        return openvino.convert_model(_Forward(view), example_input=example, input=shapes)


def _convert(core: Any, view: Any, settings: dict[str, Any]) -> Any:
    try:
        return core.compile_model(converted(view), "CPU", settings)
    except Exception as error:  # its front ends raise classes without a common base
        raise ModelError(f"OpenVINO cannot convert this ViT ({type(error).__name__}); use --engine torch.") from error


def _fingerprint(core: Any, forward: _Forward, precision: Precision) -> str:
    """Return a checksum of all that a compiled model depends on."""
    tap = forward.blocks[-1]
    versions = [f"{package} {version(package)}" for package in ("openvino", "torch", "timm", "lostreg")]
    processor = core.get_property("CPU", "FULL_DEVICE_NAME"), core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    built = [
        (name, type(module).__name__, module.extra_repr(), getattr(module, "num_heads", None))
        for name, module in forward.named_modules()
    ]
    read = sorted(tap.parts), tap.prefix_tokens, tap.suffix_tokens
    digest = hashlib.sha256(repr((versions, processor, precision, read, built)).encode())
    for name, values in forward.state_dict().items():
        digest.update(name.encode())
        digest.update(values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


class _Forward(nn.Module):
    """A tapped view's forward, with the positions as an input, and as a tuple, which a tracer wants."""

    def __init__(self, view: Any) -> None:
        super().__init__()
        self.patch_embed, self.norm_pre, self.blocks = view.patch_embed, view.norm_pre, view.blocks
        self.prefix_tokens: int = view.num_prefix_tokens

    def forward(self, inputs: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tokens = self.patch_embed(inputs).flatten(1, 2) + positions[:, self.prefix_tokens :]
        if self.prefix_tokens:
            prefix = positions[:, : self.prefix_tokens].expand(tokens.shape[0], -1, -1)
            tokens = torch.cat([prefix, tokens], dim=1)
        outputs: dict[Part, torch.Tensor] = self.blocks(self.norm_pre(tokens))
        return tuple(outputs[part] for part in sorted(outputs))
