"""Whether an engine gives what PyTorch gives: asked once of everything that was compiled, before a box rests on it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lostreg.errors import ModelError
from lostreg.settings import Part, Precision

TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.1}
"""Largest relative error of a part, ``|a - b| / |b|``, that the precision explains. Keys and values in bf16 differ by
about 0.01, attention, which is an exponential, by up to 0.04."""


def check_agreement(
    found: Mapping[Part, torch.Tensor], expected: Mapping[Part, torch.Tensor], precision: Precision, whose: str
) -> None:
    """Compare what a compiled ViT gave with what PyTorch gives in fp32.

    Args:
        found: by part.
        expected: likewise, of the same inputs.
        precision: of the compiled ViT.
        whose: begins the sentence, such as ``OpenVINO's``.

    Raises:
        ModelError: a part differs by more than the precision explains, or is not finite.
    """
    for part, reference in expected.items():
        error = float((found[part].float() - reference).norm() / reference.norm())
        if not error <= TOLERANCE[precision]:
            raise ModelError(
                f"{whose} {part} differs from PyTorch's by {100 * error:.2g} % in {precision}, more than "
                f"the {100 * TOLERANCE[precision]:g} % that the precision explains; use --engine torch."
            )
