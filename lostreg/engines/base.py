"""What every engine takes and gives."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from lostreg.settings import EngineName, Part, Precision

Grid = tuple[int, int]
"""Rows and columns of patches."""


class Engine(Protocol):
    """Runs tapped ViTs; see :meth:`lostreg.backbone.Backbone.extract`."""

    @property
    def name(self) -> EngineName:
        """Its name, as in ``--engine``."""

    @property
    def precision(self) -> Precision:
        """The precision of the forward."""

    @property
    def lanes(self) -> int:
        """How many threads may call :meth:`run` at once, each on its share of the cores."""

    def run(self, view: nn.Module, inputs: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Run a ViT that was cut down to what is read of it.

        Args:
            view: a timm ViT whose last block is a :class:`~lostreg.tap.Tap`, on the engine's device, in fp32.
            inputs: ``(B, 3, H, W)`` ``float32``, on the CPU or on the engine's device.

        Returns:
            What the tap yields.
        """


def grid_of(view: Any, inputs: torch.Tensor) -> Grid:
    """Return the grid of a ViT's inputs ``(B, 3, H, W)``."""
    rows, columns = (side // patch for side, patch in zip(inputs.shape[2:], view.patch_embed.patch_size, strict=True))
    return rows, columns


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory was short, of whichever of PyTorch's allocators and of CUDA's driver."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in text or "out of memory" in text
