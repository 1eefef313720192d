"""The loss curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lostreg.draw import INK, PALETTE, PAPER, RGB

_WIDTH, _HEIGHT = 900, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 40, 56
_GREY, _PALE = (120, 120, 120), (225, 225, 225)
_ROWS = 5


def draw_losses(losses: Sequence[float], steps_per_epoch: int) -> RGB:
    """Draw the loss of every step as a thin line, and the mean of every epoch as a thick level.

    Args:
        losses: one per step, at least one.
        steps_per_epoch: how many steps each epoch has.

    Returns:
        ``(480, 900, 3)`` ``uint8``.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    top = max(losses) * 1.05 or 1.0

    def place(step: float, loss: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / len(losses)
        return across, _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * loss / top

    for level in np.linspace(0, top, _ROWS):
        pen.line([place(0, level), place(len(losses), level)], fill=_PALE)
        pen.text((_LEFT - 8, place(0, level)[1]), f"{level:.3g}", fill=INK, font=font, anchor="rm")
    pen.line([place(step + 0.5, loss) for step, loss in enumerate(losses)], fill=PALETTE[0], width=2)
    for start in range(0, len(losses), steps_per_epoch):
        epoch = losses[start : start + steps_per_epoch]
        mean = sum(epoch) / len(epoch)
        pen.line([place(start, mean), place(start + len(epoch), mean)], fill=INK, width=3)
        pen.line([place(start, 0), place(start, top)], fill=_GREY)
    pen.text((_LEFT, _HEIGHT - _BOTTOM + 12), "0", fill=INK, font=font, anchor="ma")
    pen.text((_WIDTH - _RIGHT, _HEIGHT - _BOTTOM + 12), f"{len(losses)} steps", fill=INK, font=font, anchor="ra")
    title = "loss of each step; black: mean of each epoch"
    pen.text((_LEFT, 10), title, fill=INK, font=font)
    return np.asarray(image)
