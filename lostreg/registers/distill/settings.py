"""The settings of a distillation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lostreg.errors import UsageError
from lostreg.settings import PARTS, Part

LEARNING_RATE, FINAL_LEARNING_RATE, WEIGHT_DECAY = 5e-5, 2.5e-6, 1e-2
"""Of AdamW. The rate rises over the first tenth of the steps, then falls exponentially. The paper takes 1e-4 to 5e-6
for 100 epochs; in short runs that first raises the loss above that of the untrained student."""

WARM_UP = 0.1


@dataclass(frozen=True)
class DistillSettings:
    """What is distilled, and how long.

    Attributes:
        registers: how many are added. The paper trains 16 and finds little between 4 and 16.
        views: of the teacher; the paper takes 10.
        epochs: passes over the pictures; the paper makes 100.
        batch_size: pictures per step.
        seed: of the registers' first values and of the order of the pictures.
        targets: what of the last block follows the teacher. The paper takes ``x``, the tokens behind the final
            norm; keys, values and the attention of CLS are what lostreg's methods read.
    """

    registers: int = 4
    views: int = 8
    epochs: int = 3
    batch_size: int = 8
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
        unknown = [part for part in self.targets if part not in PARTS]
        if unknown or not self.targets:
            found = repr(unknown[0]) if unknown else "empty"
            raise UsageError(f"--targets must be among {', '.join(PARTS)}, but it is {found}.")

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the optimiser's among them."""
        optimiser = {
            "learning_rate": LEARNING_RATE,
            "final_learning_rate": FINAL_LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            "warm_up": WARM_UP,
        }
        return {**asdict(self), "targets": list(self.targets), **optimiser}
