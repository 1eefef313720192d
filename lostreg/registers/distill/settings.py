"""The settings of a distillation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lostreg.errors import UsageError
from lostreg.settings import PROJECTIONS, Part

WEIGHT_DECAY = 1e-2
"""Of AdamW, as in the paper."""

WARM_UP, FALL = 0.1, 0.05
"""The learning rate rises over this share of the steps, and falls exponentially to this share of its value; the paper
falls as far, over 100 epochs and without a rise."""


CAN_FOLLOW: tuple[Part, ...] = (*PROJECTIONS, "attention")
"""What of a block a student can follow its teacher in."""


@dataclass(frozen=True)
class DistillSettings:
    """What is distilled, and how long.

    Attributes:
        registers: how many are added. The paper trains 16 and finds little between 4 and 16.
        views: of the teacher; the paper takes 10.
        epochs: passes over the pictures; the paper makes 100.
        batch_size: pictures per step.
        learning_rate: of AdamW at its highest. The paper takes 1e-4; in short runs that raises the loss above that of
            the untrained student.
        seed: of the registers' first values and of the order of the pictures.
        targets: what of the last block follows the teacher. The paper takes ``x``, the tokens behind the final
            norm; keys, values and the attention of CLS are what lostreg's methods read.
    """

    registers: int = 4
    views: int = 8
    epochs: int = 3
    batch_size: int = 8
    learning_rate: float = 2e-5
    seed: int = 0
    targets: tuple[Part, ...] = ("x", "k", "v", "attention")

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for option, value in (
            ("--registers-count", self.registers),
            ("--views", self.views),
            ("--epochs", self.epochs),
            ("--batch-size", self.batch_size),
        ):
            if value < 1:
                raise UsageError(f"{option} must be at least 1, but it is {value}.")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"--learning-rate must be above 0 and below 1, but it is {self.learning_rate}.")
        unknown = [part for part in self.targets if part not in CAN_FOLLOW]
        if unknown or not self.targets:
            found = repr(unknown[0]) if unknown else "empty"
            raise UsageError(f"--targets must be among {', '.join(CAN_FOLLOW)}, but it is {found}.")

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the optimiser's among them."""
        optimiser = {"weight_decay": WEIGHT_DECAY, "warm_up": WARM_UP, "fall": FALL}
        return {**asdict(self), "targets": list(self.targets), **optimiser}
