"""Registers added to a ViT that was trained without any, and what of it may then be trained.

timm's own mechanism runs them: ``reg_token`` between CLS and patches, without position (Darcet et al., arXiv
2309.16588). For that the position of the CLS token is added to the token itself once and for all.
"""

from __future__ import annotations

import copy
import math
from types import MethodType
from typing import Any

import torch
from torch import nn

from lostreg.errors import ModelError
from lostreg.tap import sharing_copy


def add_registers(model: nn.Module, registers: torch.Tensor, name: str) -> Any:
    """Return a ViT with registers. What may be trained is its own; all other weights are shared with the one given.

    Args:
        model: a timm ``VisionTransformer`` with learned positions and no registers.
        registers: ``(m, D)``, their initial values; with ``m = 0`` the result computes what ``model`` does.
        name: of the model, for the sentence of an error.

    Raises:
        ModelError: another architecture, or a model that has registers already.
    """
    check_can_take_registers(model, name)
    changed = _with_own_trainable(model)
    if changed.cls_token is not None and not changed.no_embed_class:
        changed.cls_token = nn.Parameter((changed.cls_token + changed.pos_embed[:, :1]).detach())
        changed.pos_embed = nn.Parameter(changed.pos_embed[:, 1:].detach().clone())
    changed.no_embed_class = True
    changed.reg_token = nn.Parameter(registers[None].detach().clone()) if len(registers) else None
    changed.num_reg_tokens = len(registers)
    changed.num_prefix_tokens = int(changed.cls_token is not None) + len(registers)
    return changed


def check_can_take_registers(model: nn.Module, name: str) -> None:
    """Refuse models that have registers or no place for them.

    Raises:
        ModelError: as :func:`add_registers`.
    """
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(model, VisionTransformer) or model.pos_embed is None:
        raise ModelError(
            "Registers can be added to a timm VisionTransformer with learned positions, but "
            f"{name} is a {type(model).__name__}; choose another model."
        )
    if model.reg_token is not None:
        raise ModelError(
            f"{name} was trained with {model.reg_token.shape[1]} registers already; use --registers native or a model "
            "without any."
        )


def random_registers(count: int, width: int, seed: int) -> torch.Tensor:
    """Return ``(count, width)`` from N(0, 1) / sqrt(width), PH-Reg's start."""
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) / math.sqrt(width)


def trainable(model: Any) -> dict[str, nn.Parameter]:
    """Return what PH-Reg trains, by name: registers, positions of the patches, patch convolution, last block."""
    last = f"blocks.{len(model.blocks) - 1}."
    names = ("reg_token", "pos_embed", "patch_embed.proj.", last)
    return {name: values for name, values in model.named_parameters() if name.startswith(names)}


def _with_own_trainable(model: Any) -> Any:
    changed = sharing_copy(model)
    changed._parameters = {name: None if values is None else _own(values) for name, values in model._parameters.items()}
    changed.patch_embed = copy.deepcopy(model.patch_embed)
    changed.blocks = nn.Sequential(*model.blocks[:-1], copy.deepcopy(model.blocks[-1]))
    if "_pos_embed" in vars(model):  # a method of this one model (lostreg.pos_embed)
        changed._pos_embed = MethodType(model._pos_embed.__func__, changed)
    return changed


def _own(values: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(), requires_grad=values.requires_grad)
