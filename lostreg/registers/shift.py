"""Test-time registers: one more token takes the outliers, without training (arXiv 2506.08010, Alg. 2).

A zero token without position is appended behind the patches. In the MLP of each listed block, between activation and
second projection, every register neuron's strongest value over the tokens of an image goes to that token, and the
neuron is zero everywhere else. What the neurons would write into patches is written into the extra token instead.

Unlike the code released with the paper, each neuron has a maximum of its own, every image of a batch is treated,
the CLS token is cleared like any other, and the extra token stays out of the patch grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any

import torch
from torch import nn

from lostreg.errors import ModelError
from lostreg.tap import sharing_copy


class ShiftToLast(nn.Module):
    """Moves the strongest activation of chosen hidden units to the last token.

    Args:
        units: positions in the hidden layer.
    """

    units: torch.Tensor

    def __init__(self, units: Sequence[int]) -> None:
        """Keep the units."""
        super().__init__()
        self.register_buffer("units", torch.tensor(units, dtype=torch.long), persistent=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Shift in place; ``hidden`` is ``(B, T, H)``, the fresh output of an activation."""
        values = hidden[..., self.units]
        strongest = values.abs().argmax(dim=1, keepdim=True)
        hidden[..., self.units] = 0
        hidden[:, -1, self.units] = values.gather(1, strongest)[:, 0]
        return hidden


def add_test_time_register(model: nn.Module, units: Mapping[int, Sequence[int]], name: str) -> nn.Module:
    """Return a view of a timm ViT with a test-time register; the weights are shared.

    Args:
        model: a timm ViT; it stays as it is.
        units: hidden units by block. Without any the model itself is returned.
        name: of the model, for error sentences.

    Raises:
        ModelError: a block has no such units.
    """
    if not units:
        return model
    view: Any = sharing_copy(model)
    view.blocks = nn.Sequential(*view.blocks)
    for index, chosen in units.items():
        view.blocks[index] = _with_shift(_checked_block(view, index, chosen, name), chosen)
    append_zero_token(view)
    changed: nn.Module = view
    return changed


def append_zero_token(model: Any) -> None:
    """Make a timm ViT append a zero token behind the patches, without position embedding.

    Rotary models get a row of no rotation for it. ``num_suffix_tokens`` says that it is there.
    """
    embed = model._pos_embed

    def _pos_embed(self: Any, x: torch.Tensor) -> Any:
        embedded = embed(x)
        tokens, *rotary = embedded if isinstance(embedded, tuple) else (embedded,)
        tokens = torch.cat([tokens, torch.zeros_like(tokens[:, :1])], dim=1)
        return (tokens, *map(_with_unrotated_row, rotary)) if rotary else tokens

    model._pos_embed = MethodType(_pos_embed, model)
    model.num_suffix_tokens = 1


def hidden_layer(block: Any, name: str) -> Any:
    """Return the MLP of a timm block whose ``drop1`` sees the hidden units, gated ones after their product.

    Raises:
        ModelError: its hidden units cannot be reached.
    """
    from timm.layers import GluMlp, Mlp, SwiGLU

    mlp = getattr(block, "mlp", None)
    if not isinstance(mlp, Mlp | GluMlp | SwiGLU):
        raise ModelError(
            f"{name} has no hidden units that could be register neurons (its blocks hold {type(mlp).__name__}, "
            "expected timm's Mlp, GluMlp or SwiGLU); choose one of `lostreg models list`."
        )
    return mlp


def _with_unrotated_row(rope: torch.Tensor | None) -> torch.Tensor | None:
    """Append a row of angle 0 to ``(..., N, D)``, which holds sines, then cosines."""
    if rope is None:
        return None
    sine, cosine = torch.zeros_like(rope[..., :1, :]).chunk(2, dim=-1)
    return torch.cat([rope, torch.cat([sine, cosine + 1], dim=-1)], dim=-2)


def _with_shift(block: Any, units: Sequence[int]) -> Any:
    changed = sharing_copy(block)
    changed.mlp = sharing_copy(block.mlp)
    changed.mlp.drop1 = ShiftToLast(units)  # dropout does nothing here, and stands where the hidden units are ready
    return changed


def _checked_block(model: Any, index: int, units: Sequence[int], name: str) -> Any:
    depth = len(model.blocks)
    if index >= depth:
        raise ModelError(f"The register neurons name block {index}, but {name} has blocks 0 to {depth - 1}.")
    width = hidden_layer(model.blocks[index], name).fc2.in_features
    if max(units) >= width:
        raise ModelError(
            f"The register neurons name unit {max(units)} of block {index}, but {name} has units 0 to {width - 1}."
        )
    return model.blocks[index]
