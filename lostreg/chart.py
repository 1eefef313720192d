"""The picture of the losses of a training: lines over steps, epochs or rounds, drawn with Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from lostreg.draw import INK, PAPER

_WH = (720, 420)
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 46, 52
_GRID = (222, 222, 222)
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115))
"""Of Okabe and Ito (2008), those that stand out of white."""
_DOTS_UP_TO = 50


def loss_chart(lines: Mapping[str, Sequence[float]], across: str) -> bytes:
    """Return a PNG of up to three lines with a common axis from 0.

    Args:
        lines: values by name, all of the same number, at least one.
        across: what the values are counted by, below the axis.
    """
    count = max(len(values) for values in lines.values())
    top = max(max(values) for values in lines.values()) * 1.08 or 1.0
    canvas = Image.new("RGB", _WH, PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    width, height = _WH[0] - _LEFT - _RIGHT, _WH[1] - _TOP - _BOTTOM

    def at(index: int, value: float) -> tuple[float, float]:
        return _LEFT + width * index / max(1, count - 1), _TOP + height * (1 - value / top)

    for share in (0, 0.25, 0.5, 0.75, 1):
        y = at(0, top * share)[1]
        draw.line([(_LEFT, y), (_LEFT + width, y)], fill=_GRID)
        draw.text((_LEFT - 8, y), f"{top * share:.2g}", fill=INK, font=font, anchor="rm")
    for index in range(0, count, max(1, count // 10)):
        draw.text((at(index, 0)[0], _TOP + height + 8), str(index + 1), fill=INK, font=font, anchor="mt")
    draw.text((_LEFT + width / 2, _WH[1] - 8), across, fill=INK, font=font, anchor="mb")
    left = float(_LEFT)
    for colour, (name, values) in zip(_COLOURS, lines.items(), strict=False):
        points = [at(index, value) for index, value in enumerate(values)]
        draw.line(points, fill=colour, width=3, joint="curve")
        for x, y in points if count <= _DOTS_UP_TO else ():
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)
        label = f"{name} {values[-1]:.3f}"
        draw.text((left, 14), label, fill=colour, font=font)
        left += draw.textlength(label, font=font) + 28
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()
