"""A ViT as an OpenVINO model: converted once, kept in the cache, compiled for any grid of patches or for one.

Converting takes seconds, compiling a converted model part of one. So what was converted is written to the cache and
read back by the next process. Its name is a checksum of everything that it depends on: the weights, how the ViT is
built, what is read of them, and the versions. What OpenVINO refuses to read is made anew; what was used longest ago
makes room.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from lostreg.errors import ModelError
from lostreg.files import cache_dir, trim, written_whole
from lostreg.pos_embed import RememberedPositions
from lostreg.settings import Part, Precision

KEPT_MOST_BYTES = 10**9
"""A dozen ViT-S; the one that was written last stays whatever its size."""

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_SUFFIXES = (".bin", ".xml")
"""Weights and graph, in the order in which they are written: a graph is there only after its weights."""


def vit_model(core: Any, view: Any) -> Any:
    """Return a tapped view as an ``openvino.Model``, from the cache or converted.

    Args:
        core: an ``openvino.Core``.
        view: a timm ViT whose last block is a :class:`~lostreg.tap.Tap`, and whose positions are added.

    Raises:
        ModelError: OpenVINO cannot convert the ViT.
    """
    kept = cache_dir() / "openvino" / f"{_fingerprint(_Forward(view))}.xml"
    model = _read(core, kept)
    if model is None:
        print("lostreg: converting the ViT for OpenVINO (once per model and what is read of it)", file=sys.stderr)
        model = _convert(view)
        _keep(model, kept)
    return model


class CompiledVit(nn.Module):
    """Stands in for a tapped view; several threads may call it.

    Args:
        core: an ``openvino.Core``.
        model: of the view, from :func:`vit_model`.
        view: the view.
        precision: fp32 or bf16.
        lanes: how many threads may call it at once; they share the processor's cores.
        grid_hw: the only grid it will run, which makes it quicker; ``None`` runs any.

    Raises:
        ModelError: OpenVINO cannot compile the ViT.
    """

    def __init__(
        self,
        core: Any,
        model: Any,
        view: Any,
        precision: Precision,
        lanes: int,
        grid_hw: tuple[int, int] | None = None,
    ) -> None:
        """Compile the model."""
        super().__init__()
        self._parts: list[Part] = sorted(view.blocks[-1].parts)
        self._patch_hw: tuple[int, int] = view.patch_embed.patch_size
        self._positions = RememberedPositions(view)
        if grid_hw is not None:
            input_hw = (count * patch for count, patch in zip(grid_hw, self._patch_hw, strict=True))
            model = model.clone()
            model.reshape({0: [-1, 3, *input_hw], 1: list(self._positions(*grid_hw).shape)})
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": lanes,
            "ENABLE_CPU_PINNING": False,  # models that run at once would be pinned to the same cores
        }
        compiled = _compile(core, model, settings)
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


def _read(core: Any, kept: Path) -> Any:
    """Return the kept model, or ``None`` where there is none that this OpenVINO reads."""
    try:
        model = core.read_model(kept)
    except RuntimeError:
        return None
    with suppress(OSError):  # a cache that can only be read never makes room
        for suffix in _SUFFIXES:
            kept.with_suffix(suffix).touch()
    return model


def _keep(model: Any, kept: Path) -> None:
    """Write a model into the cache, ``kept`` being its graph; others make room."""
    import openvino

    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=kept.parent) as folder:
            written = [Path(folder, f"vit{suffix}") for suffix in _SUFFIXES]
            weights, graph = map(str, written)
            openvino.serialize(model, graph, weights)
            size = sum(path.stat().st_size for path in written)
            for path in written:
                with written_whole(kept.with_suffix(path.suffix)) as temporary:
                    path.replace(temporary)
        trim(kept.parent, max(KEPT_MOST_BYTES, size))
    except (OSError, RuntimeError) as error:  # costs time at the next start, not this run
        cause = error.strerror if isinstance(error, OSError) else "OpenVINO could not write it"
        print(f"lostreg: the converted model cannot be kept in {kept.parent}: {cause}", file=sys.stderr)


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


def _convert(view: Any) -> Any:
    try:
        return converted(view)
    except Exception as error:  # its front ends raise classes without a common base
        raise ModelError(f"OpenVINO cannot convert this ViT ({type(error).__name__}); use --engine torch.") from error


def _compile(core: Any, model: Any, settings: dict[str, Any]) -> Any:
    try:
        return core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise ModelError("OpenVINO cannot compile this ViT; use --engine torch.") from error


def _fingerprint(forward: _Forward) -> str:
    """Return a checksum of all that a converted model depends on."""
    tap = forward.blocks[-1]
    versions = [f"{package} {version(package)}" for package in ("openvino", "torch", "timm", "lostreg")]
    built = [
        (name, type(module).__name__, module.extra_repr(), getattr(module, "num_heads", None))
        for name, module in forward.named_modules()
    ]
    read = sorted(tap.parts), tap.prefix_tokens, tap.suffix_tokens
    digest = hashlib.sha256(repr((versions, read, built)).encode())
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
