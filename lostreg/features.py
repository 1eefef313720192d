"""What one ViT forward leaves behind of one photograph: the boundary between heavy and cheap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from lostreg.errors import FeatureError
from lostreg.geometry import Frame
from lostreg.settings import Projection


@dataclass(frozen=True)
class HeadReading:
    """What a fitted head (:mod:`lostreg.heads`) says of every patch of one photograph.

    Attributes:
        logit: ``(N,)`` ``float32``, positive on what the head takes for an object.
        boxes: ``(N, 4)`` ``float32``, the box in patches that each patch votes for; ``None`` where it has no vote.
        quality: ``(N,)`` ``float32`` in [0, 1], the IoU that the head expects of that box; ``None`` without boxes.
        score: returns the IoU ``(m,)`` in [0, 1] with an object that the head expects of any boxes ``(m, 4)`` in
            patches, after a second look at each; ``None`` without boxes.
    """

    logit: torch.Tensor
    boxes: torch.Tensor | None = None
    quality: torch.Tensor | None = None
    score: Callable[[torch.Tensor], torch.Tensor] | None = None


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
        reading: what a fitted head makes of the tokens, where one has read them.
        norms: ``(N,)`` ``float32`` or ``None``: lengths of the output tokens before the final LayerNorm.
        looks: features of further looks at the same photograph, each with its own grid (:mod:`lostreg.looks`).
    """

    frame: Frame
    tokens: dict[Projection, torch.Tensor]
    attention: torch.Tensor | None = None
    class_token: bool = False
    reading: HeadReading | None = None
    norms: torch.Tensor | None = None
    looks: tuple[Features, ...] = ()

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

    def head_reading(self) -> HeadReading:
        """Return what a fitted head says.

        Raises:
            FeatureError: no head has read these features, or its logits are not finite.
        """
        if self.reading is None:
            raise FeatureError("The method needs what a fitted head reads, but no head has read these features.")
        _finite(self.reading.logit, "What the fitted head says")
        return self.reading


def _finite(values: torch.Tensor, what: str) -> torch.Tensor:
    # a sum is finite only if all its terms are; it may overflow though they are, so then each is looked at
    if not bool(torch.isfinite(values.sum())) and not bool(torch.isfinite(values).all()):
        raise FeatureError(
            f"{what} holds values that are not finite: the weights are broken or the precision is too low; "
            "try --precision fp32 or `lostreg models check`."
        )
    return values
