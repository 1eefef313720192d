"""How far a student is from its teacher: one minus the mean cosine, plus the mean squared error (PH-Reg, sec. 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lostreg.settings import Part


def distance(student: dict[Part, torch.Tensor], teacher: dict[Part, torch.Tensor]) -> torch.Tensor:
    """Return the sum over the parts, a scalar.

    Args:
        student: for each part ``(B, N, D)``; ``attention`` is that of CLS, ``(B, heads, N)``.
        teacher: the same.
    """
    losses = [
        attention_distance(student[part], values) if part == "attention" else token_distance(student[part], values)
        for part, values in teacher.items()
    ]
    return torch.stack(losses).sum()


def token_distance(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return ``(1 - mean cosine) + mean squared error`` over all patches of ``(B, N, D)``."""
    return 1 - F.cosine_similarity(student, teacher, dim=-1).mean() + F.mse_loss(student, teacher)


def attention_distance(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence of each head's distribution over the patches, ``(B, heads, N)``.

    What goes to CLS and registers is left out of both, so that the registers may take what they like.
    """
    of_student, of_teacher = (rows / rows.sum(dim=-1, keepdim=True) for rows in (student, teacher))
    logarithms = of_student.clamp_min(1e-12).log()
    return F.kl_div(logarithms.flatten(0, 1), of_teacher.flatten(0, 1), reduction="batchmean")
