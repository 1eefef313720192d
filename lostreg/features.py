"""What one ViT forward leaves behind of one photograph: the boundary between heavy and cheap."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lostreg.errors import FeatureError
from lostreg.geometry import Frame
from lostreg.settings import Projection


@dataclass(frozen=True)
class Features:
    """Patch features of one photograph.

    Attributes:
        frame: how the patch grid lies on the photograph; ``N = h * w`` patches, row-major.
        tokens: for each projection asked for, ``(N, D)`` ``float32``; CLS token and registers
            are not among them. Keys and queries are those before rotary position embedding.
        attention: ``(P, heads, N)`` ``float32`` or ``None``: what each of the P tokens that are no patches attends
            to, softmax over all tokens of the sequence, the patches kept, so a row sums to at most 1.
        class_token: whether the first of the P tokens is a CLS token (else all are registers).
    """

    frame: Frame
    tokens: dict[Projection, torch.Tensor]
    attention: torch.Tensor | None = None
    class_token: bool = False

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.frame.grid_hw

    def projection(self, name: Projection) -> torch.Tensor:
        """Return one projection's patch features, ``(N, D)`` ``float32``.

        Raises:
            FeatureError: it was not extracted, or holds values that are not finite.
        """
        if name not in self.tokens:
            present = ", ".join(self.tokens) or "none"
            raise FeatureError(
                f"The method needs projection {name!r}, but only {present} was extracted; "
                f"ask extract() for it with parts={{{name!r}}}."
            )
        return _finite(self.tokens[name], f"Projection {name!r}")

    def class_attention(self) -> torch.Tensor:
        """Return what the CLS token attends to, ``(heads, N)`` ``float32``.

        Raises:
            FeatureError: attention was not extracted, is not finite, or the model has no CLS token.
        """
        if self.attention is None:
            raise FeatureError(
                "The method needs the CLS attention, but it was not extracted; "
                "ask extract() for it with parts={'attention'}."
            )
        if not self.class_token:
            raise FeatureError(
                "The method needs the attention of a CLS token, but this model has none; "
                "use --method lost or another model."
            )
        return _finite(self.attention[0], "The CLS attention")


def _finite(values: torch.Tensor, what: str) -> torch.Tensor:
    # a sum is finite only if all its terms are; it may overflow though they are, so then each is looked at
    if not bool(torch.isfinite(values.sum())) and not bool(torch.isfinite(values).all()):
        raise FeatureError(
            f"{what} holds values that are not finite: the weights are broken or the precision is too low; "
            "try --precision fp32 or `lostreg models check`."
        )
    return values
