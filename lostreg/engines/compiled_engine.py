"""PyTorch's compiler for the grids that many pictures share, and on CUDA a recorded graph of kernels for each.

Compiling takes from seconds to minutes for each size of input, so only the grids that are named beforehand are
compiled; pictures of others run as in the engine ``torch``. Inputs of a grid go through in batches of one size, the
largest that came yet: a smaller one fills it up in part, so that the compiler meets each grid once or twice and the
graph's inputs and outputs stay where they are. What a compiled ViT gives first is compared with PyTorch's in fp32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import torch
from torch import nn

from lostreg.engines.agreement import check_agreement
from lostreg.engines.base import Grid, grid_of, is_out_of_memory
from lostreg.engines.torch_engine import TorchEngine, native_precisions
from lostreg.errors import ModelError, UsageError
from lostreg.settings import EngineName, Part, Precision
from lostreg.tap import sharing_copy

Outputs = dict[Part, torch.Tensor]
Forward = Callable[[torch.Tensor], Outputs]

_WARM_UPS = 3
"""Runs before a graph is recorded: compiling, and what libraries allocate at first use, must not be part of it."""

_MOST_COMPILATIONS = 64
"""Of one process. PyTorch counts them for all views, grids and precisions together and gives up at 8 by default."""


class CompiledEngine:
    """Runs views of named grids compiled, others as they are.

    Args:
        device: where the weights lie.
        precision: of matrix products; norms and softmax stay in fp32.
        grids: rows and columns of patches that are worth compiling.

    Raises:
        UsageError: the device does not compute in that precision, or PyTorch cannot compile here.
    """

    name: EngineName = "compiled"
    lanes = 1

    def __init__(self, device: torch.device, precision: Precision, grids: Collection[Grid] = ()) -> None:
        """Refuse what cannot be run here."""
        self._eager = TorchEngine(device, precision)
        if obstacle := _obstacle(device):
            raise UsageError(
                f"--engine compiled needs PyTorch's compiler, which does not work here ({obstacle}); the next best "
                f"choice is --engine torch --precision {native_precisions(device)[-1]}."
            )
        self.precision: Precision = precision
        self.grids = frozenset(grids)
        self._reference = TorchEngine(device, "fp32")
        self._record = Recorder(device) if device.type == "cuda" else None
        self._compiled: dict[tuple[nn.Module, Grid], OneSize] = {}

    def run(self, view: nn.Module, inputs: torch.Tensor) -> Outputs:
        """Run a tapped ViT.

        Raises:
            ModelError: the ViT cannot be compiled, or its outputs are not those of PyTorch.
        """
        key = view, grid_of(view, inputs)
        if key[1] not in self.grids:
            return self._eager.run(view, inputs)
        if key not in self._compiled or len(inputs) > self._compiled[key].batch_size:
            self._compiled[key] = self._checked(view, inputs)
        return self._eager.run(self._compiled[key], inputs)

    def _checked(self, view: nn.Module, inputs: torch.Tensor) -> OneSize:
        """Return a compiled view after it has given what PyTorch gives."""
        compiled = OneSize(view, len(inputs), self._record)
        try:
            found = self._eager.run(compiled, inputs)
        except Exception as error:  # the compiler's stages raise classes without a common base
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"PyTorch cannot compile this ViT ({type(error).__name__}); use --engine torch."
            ) from error
        first = {part: values[:1] for part, values in found.items()}
        check_agreement(first, self._reference.run(view, inputs[:1]), self.precision, "The compiled ViT's")
        return compiled


class Recorder:
    """Records forwards on one CUDA device. Their graphs share memory, as no two of them ever run at once.

    Args:
        device: the CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        """Take a stream and a pool of memory for all recordings."""
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, forward: Forward, inputs: torch.Tensor) -> Forward:
        """Record a forward's kernels, so that one launch replays them all.

        Args:
            forward: does nothing that waits for the device.
            inputs: read anew at each replay, from where they lie now.

        Returns:
            A function of these same inputs, whose outputs the next replay of any graph may overwrite.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):
                    forward(inputs)
            torch.cuda.current_stream().wait_stream(self._stream)
            # other threads allocate memory and count degrees meanwhile, which must not spoil the recording
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                outputs = forward(inputs)

        def replay(_: torch.Tensor) -> Outputs:
            graph.replay()
            return outputs

        return replay


class OneSize(nn.Module):
    """Stands in for a tapped view, compiled for batches of one size and inputs of one grid.

    Args:
        view: the view.
        batch_size: inputs per forward.
        record: makes a recorded forward of a compiled one; ``None`` leaves it as it is.
    """

    def __init__(self, view: nn.Module, batch_size: int, record: Recorder | None = None) -> None:
        """Compile nothing yet: the first inputs say where and in which precision."""
        super().__init__()
        self.batch_size = batch_size
        self._view = view
        self._record = record
        self._inputs: torch.Tensor | None = None
        self._forward: Forward | None = None

    def forward_features(self, inputs: torch.Tensor) -> Outputs:
        """Run ``(B, 3, H, W)`` inputs, as many at once as were compiled for; the outputs stay the caller's."""
        runs = [self._run(some) for some in torch.split(inputs, self.batch_size)]
        return {part: torch.cat([outputs[part] for outputs in runs]) for part in runs[0]}

    def _run(self, inputs: torch.Tensor) -> Outputs:
        if self._inputs is None or self._forward is None:
            self._inputs = inputs.new_zeros(self.batch_size, *inputs.shape[1:])
            self._forward = self._compile(self._inputs)
        self._inputs[: len(inputs)] = inputs
        return {part: values[: len(inputs)].clone() for part, values in self._forward(self._inputs).items()}

    def _compile(self, inputs: torch.Tensor) -> Forward:
        view = with_fixed_rotation(self._view, inputs)
        compiled: Forward = torch.compile(view.forward_features, dynamic=False, fullgraph=True)
        with torch._dynamo.config.patch(recompile_limit=_MOST_COMPILATIONS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the compiler imports
            compiled(inputs)
            return compiled if self._record is None else self._record(compiled, inputs)


def with_fixed_rotation(view: Any, inputs: torch.Tensor) -> Any:
    """Return a view whose rotary position embedding, if it has one, is computed once, for the grid of ``inputs``.

    timm computes DINOv3's on the CPU and copies it to the device at each forward, which a recorded graph cannot hold.
    """
    embed = view._pos_embed
    made = embed(inputs.new_zeros(1, *grid_of(view, inputs), view.embed_dim))
    if not isinstance(made, tuple):
        return view
    rotation, fixed = made[1], sharing_copy(view)
    fixed._pos_embed = lambda patches: (embed(patches)[0], rotation)
    return fixed


@cache
def _obstacle(device: torch.device) -> str | None:
    """Return what keeps PyTorch from compiling for a device, or ``None``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the compiler imports
            torch.compile(torch.neg, dynamic=False, fullgraph=True)(torch.ones(8, device=device))
    except Exception as error:  # no compiler, no Triton, an old GPU: each has a class of its own
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None
