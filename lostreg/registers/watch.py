"""Look at what passes through a ViT: the tokens behind every block, and the hidden units of its MLPs.

As with the tap, nothing is hooked: a shallow view of the model shares the weights, and forgets itself afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lostreg.registers.shift import hidden_layer
from lostreg.tap import sharing_copy

Look = Callable[[int, torch.Tensor], None]
"""Takes a block's number and what passed there; it must not change it."""


class _Watched(nn.Module):
    """A module whose output is looked at."""

    def __init__(self, module: nn.Module, index: int, look: Look) -> None:
        super().__init__()
        self.module = module
        self.index = index
        self.look = look

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        output = self.module(*inputs, **keywords)
        self.look(self.index, output)
        return output


def watch_blocks(model: nn.Module, look: Look) -> Any:
    """Return a view of a timm ViT that shows the tokens ``(B, T, D)`` behind every block, before the final norm."""
    view = sharing_copy(model)
    view.blocks = nn.Sequential(*(_Watched(block, index, look) for index, block in enumerate(view.blocks)))
    return view


def watch_hidden(model: nn.Module, look: Look, last: int, name: str) -> Any:
    """Return a view that ends behind block ``last`` and shows the hidden units ``(B, T, H)`` of every MLP.

    They are what register neurons are among: behind the activation, of gated MLPs behind the product.

    Raises:
        ModelError: the MLPs have no such units.
    """
    view = sharing_copy(model)
    view.blocks = nn.Sequential(
        *(_with_watched_hidden(view.blocks[index], index, look, name) for index in range(last + 1))
    )
    view.norm = nn.Identity()
    return view


def _with_watched_hidden(block: Any, index: int, look: Look, name: str) -> Any:
    changed = sharing_copy(block)
    changed.mlp = sharing_copy(hidden_layer(block, name))
    changed.mlp.drop1 = _Watched(block.mlp.drop1, index, look)
    return changed
