"""The last block that runs, cut down to what is read of it."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lostreg.errors import ModelError
from lostreg.settings import Part, Projection

_ORDER: tuple[Projection, ...] = ("q", "k", "v")


class Tap(nn.Module):
    """Stands in for a transformer block and yields projections of its attention instead of its output.

    Args:
        block: a timm block with ``norm1`` and ``attn``; its weights are shared.
        norm: the model's final norm, applied to the output tokens ``x``.
        parts: what to compute.
        prefix_tokens: how many tokens stand before the patches.
        suffix_tokens: how many stand behind them.
    """

    def __init__(
        self, block: Any, norm: nn.Module, parts: frozenset[Part], prefix_tokens: int, suffix_tokens: int = 0
    ) -> None:
        """Share the block's weights."""
        super().__init__()
        self.block = block
        self.norm = norm
        self.parts = parts
        self.prefix_tokens = prefix_tokens
        self.suffix_tokens = suffix_tokens

    def forward(self, x: torch.Tensor, rope: torch.Tensor | None = None, **others: Any) -> dict[Part, torch.Tensor]:
        """Return each part: ``(B, T, D)``, ``attention`` as ``(B, P + S, heads, T)``, ``norms`` as ``(B, T)``."""
        outputs: dict[Part, torch.Tensor] = {}
        attention = self.block.attn
        normalised = self.block.norm1(x)
        for name in _ORDER:
            if name in self.parts:
                outputs[name] = _join_heads(project(attention, normalised, name))
        if "attention" in self.parts:
            outputs["attention"] = extra_attention(attention, normalised, self.prefix_tokens, self.suffix_tokens, rope)
        if not self.parts.isdisjoint({"x", "norms"}):
            keywords = others if rope is None else {"rope": rope, **others}
            tokens = self.block(x, **keywords)
            if "x" in self.parts:
                outputs["x"] = self.norm(tokens)
            if "norms" in self.parts:
                outputs["norms"] = tokens.float().norm(dim=-1)
        return outputs


def tapped(model: Any, layer: int, parts: frozenset[Part], prefix_tokens: int, suffix_tokens: int = 0) -> Any:
    """Return a ViT cut off behind block ``layer``, whose ``forward_features`` yields ``parts``; weights are shared."""
    view = sharing_copy(model)
    tap = Tap(model.blocks[layer], model.norm, parts, prefix_tokens, suffix_tokens)
    view.blocks = nn.Sequential(*model.blocks[:layer], tap)
    view.norm = nn.Identity()
    return view


def project(attention: Any, x: torch.Tensor, name: Projection) -> torch.Tensor:
    """Return queries, keys or values as the attention sees them before rotary embedding.

    Computes only the rows of the fused projection that are asked for.

    Args:
        attention: a timm attention module that :func:`check_block` accepts.
        x: ``(B, T, D)``, the normalised input of the attention.
        name: ``q``, ``k`` or ``v``.

    Returns:
        ``(B, heads, T, D / heads)``.
    """
    if attention.qkv is None:
        projected = getattr(attention, f"{name}_proj")(x)
    else:
        rows = _ORDER.index(name)
        weight = attention.qkv.weight.chunk(3)[rows]
        bias = attention.qkv.bias
        bias = getattr(attention, f"{name}_bias", None) if bias is None else bias.chunk(3)[rows]
        projected = F.linear(x, weight, bias)
    batch, count, width = projected.shape
    split: torch.Tensor = projected.reshape(batch, count, width // attention.head_dim, attention.head_dim).transpose(
        1, 2
    )
    if name == "v":
        return split
    normalise = attention.q_norm if name == "q" else attention.k_norm
    return torch.as_tensor(normalise(split))


def extra_attention(
    attention: Any, x: torch.Tensor, prefix_tokens: int, suffix_tokens: int, rope: torch.Tensor | None
) -> torch.Tensor:
    """Return what each token that is no patch attends to: softmax over all tokens, ``(B, P + S, heads, T)``.

    Only the P rows before the patches and the S behind them are computed, so the fused path stays on for the rest of
    the model. None of them has a position, so rotary embedding leaves their queries as they are.
    """
    last_patch = x.shape[1] - suffix_tokens
    queries = project(attention, torch.cat([x[:, :prefix_tokens], x[:, last_patch:]], dim=1), "q")
    keys = project(attention, x, "k")
    if rope is not None:
        keys = _rotate_patches(attention, keys, rope, prefix_tokens)
    logits: torch.Tensor = (queries.float() * attention.scale) @ keys.float().transpose(-2, -1)
    return logits.softmax(dim=-1).transpose(1, 2)


def _rotate_patches(attention: Any, keys: torch.Tensor, rope: torch.Tensor, prefix_tokens: int) -> torch.Tensor:
    from timm.layers import apply_rot_embed_cat

    half = getattr(attention, "rotate_half", False)
    patches = apply_rot_embed_cat(keys[:, :, prefix_tokens:], rope, half=half)
    return torch.cat([keys[:, :, :prefix_tokens], patches], dim=2)


def _join_heads(split: torch.Tensor) -> torch.Tensor:
    return split.transpose(1, 2).flatten(2)


def sharing_copy(module: nn.Module) -> Any:
    """Return a copy of a module whose children can be replaced without touching the original's; weights are shared."""
    copied: Any = copy.copy(module)
    copied._modules = dict(module._modules)
    copied._buffers = dict(module._buffers)
    return copied


def check_block(model: Any, name: str) -> None:
    """Refuse models whose blocks have no keys that can be read.

    Raises:
        ModelError: no blocks, prefix count, ``norm1``, or a known attention with keys.
    """
    from timm.layers import Attention, AttentionRope
    from timm.models.eva import EvaAttention

    blocks = getattr(model, "blocks", None)
    block: Any = blocks[-1] if isinstance(blocks, nn.ModuleList | nn.Sequential) and len(blocks) else None
    attention = getattr(block, "attn", None)
    known = isinstance(attention, Attention | AttentionRope | EvaAttention)
    known = known and getattr(attention, "num_kv_groups", 1) == 1
    if not known or not hasattr(block, "norm1") or not hasattr(model, "num_prefix_tokens"):
        found = type(block if attention is None else attention).__name__
        built = f"its blocks are built on {found}, not on a plain ViT attention"
        why = "it is no sequence of attention blocks" if block is None else built
        raise ModelError(f"{name} has no patch keys to read ({why}); choose one of `lostreg models list`.")
