"""Pictures for people: what was found, drawn on the photograph, and the maps that explain it.

Every line is a bright colour inside a dark edge, so that it stands out of dark and of bright photographs
alike, and its width grows with the picture. The colours follow the set of Okabe and Ito (2008), which people
with any common colour blindness can tell apart, without its black and its dark blue.

All pictures are ``(height, width, 3)`` ``uint8`` RGB; what is passed in is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lostreg.geometry import Frame

RGB = NDArray[np.uint8]
Colour = tuple[int, int, int]
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]

PALETTE: tuple[Colour, ...] = (
    (64, 196, 255),
    (255, 176, 0),
    (0, 200, 140),
    (240, 110, 30),
    (235, 140, 200),
    (240, 228, 66),
)
"""One colour per object, then again from the start."""

EDGE: Colour = (20, 20, 20)
PAPER: Colour = (255, 255, 255)
INK: Colour = (34, 34, 34)

_TINT = 0.38
_HEAT = 0.72
_SEED_RADIUS = 4.5
_SUBPIXEL_BITS = 4


def overlay(
    rgb: RGB,
    boxes_xyxy: NDArray[np.float64],
    masks: NDArray[np.bool_],
    scores: NDArray[np.float64],
    seeds_xy: Sequence[tuple[float, float] | None],
) -> RGB:
    """Draw objects on their photograph: mask tinted, contour, box, seed as a ring, score as a label.

    Args:
        rgb: ``(height, width, 3)`` ``uint8``.
        boxes_xyxy: ``(n, 4)``, continuous pixels of the picture.
        masks: ``(n, height, width)`` ``bool``, or ``(0, ...)`` to draw none.
        scores: ``(n,)``, one label each.
        seeds_xy: ``n`` points in continuous pixels, or ``None`` where there is no seed.

    Returns:
        A new picture of the same size.
    """
    canvas = np.ascontiguousarray(rgb).copy()
    colours = [PALETTE[index % len(PALETTE)] for index in range(len(boxes_xyxy))]
    for mask, colour in zip(masks, colours if len(masks) else [], strict=True):
        _tint(canvas, mask, colour)
    for box, colour in zip(boxes_xyxy, colours, strict=True):
        _box(canvas, box, colour)
    for seed, colour in zip(seeds_xy, colours, strict=True):
        if seed is not None:
            _seed(canvas, seed, colour)
    seeds = [_seed_rectangle(canvas, seed) for seed in seeds_xy if seed is not None]
    return _labelled(canvas, boxes_xyxy, [f"{score:.2f}" for score in scores], colours, seeds)


def outline(rgb: RGB, boxes_xyxy: NDArray[np.float64], colour: Colour = PAPER, *, dashed: bool = False) -> RGB:
    """Draw boxes ``(n, 4)`` in one colour, without label; dashed for boxes that somebody annotated."""
    canvas = np.ascontiguousarray(rgb).copy()
    for box in boxes_xyxy:
        _box(canvas, box, colour, dashed=dashed)
    return canvas


def heat_map(values: NDArray[np.float32], frame: Frame, rgb: RGB) -> RGB:
    """Lay a map of the patch grid over its photograph, dark blue for its minimum to yellow for its maximum.

    The colours are viridis, whose steps look equally large; the photograph shows through in grey.

    Args:
        values: ``(h, w)`` of the frame's grid, finite.
        frame: how the grid lies on the photograph.
        rgb: the photograph, ``(height, width, 3)`` of the frame's ``image_wh``.
    """
    low, span = float(values.min()), float(np.ptp(values))
    levels = np.rint((values - low) * (255 / span if span > 0 else 0)).astype(np.uint8)
    on_image = frame.map_to_image(levels, smooth=False).astype(np.uint8, copy=False)
    colours = cv2.cvtColor(cv2.applyColorMap(on_image, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(colours, _HEAT, grey, 1 - _HEAT, 0))


def panel(pictures: Sequence[tuple[str, RGB]], height: int = 320) -> RGB:
    """Lay titled pictures side by side on white, all scaled to one height in pixels.

    Args:
        pictures: at least one title and picture.
        height: of each picture; the title comes on top.
    """
    size = max(11, round(height * 0.06))
    gap, bar = max(4, height // 40), round(size * 1.9)
    tiles = [_scaled_to_height(rgb, height) for _, rgb in pictures]
    width = sum(tile.shape[1] for tile in tiles) + gap * (len(tiles) + 1)
    canvas = Image.new("RGB", (width, height + bar + gap), PAPER)
    pen = ImageDraw.Draw(canvas)
    left = gap
    for (title, _), tile in zip(pictures, tiles, strict=True):
        canvas.paste(Image.fromarray(tile), (left, bar))
        pen.text((left, bar / 2), _fitting(title, tile.shape[1], size), INK, _font(size), anchor="lm")
        left += tile.shape[1] + gap
    return np.array(canvas)


def shrunk(rgb: RGB, longest: int) -> RGB:
    """Scale a picture down so that its longer side is at most ``longest`` pixels; never up."""
    height, width = rgb.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def _line_width(canvas: RGB) -> int:
    height, width = canvas.shape[:2]
    return max(1, round(float(np.sqrt(height * width)) / 220))


def _tint(canvas: RGB, mask: NDArray[np.bool_], colour: Colour) -> None:
    inside = mask.astype(np.uint8)
    mixed = cv2.addWeighted(np.full_like(canvas, colour), _TINT, canvas, 1 - _TINT, 0)
    cv2.copyTo(mixed, inside, canvas)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    thin = max(1, _line_width(canvas) // 2)
    edged = cv2.drawContours(canvas.copy(), contours, -1, EDGE, thin + 2 * max(1, thin // 2), cv2.LINE_AA)
    cv2.addWeighted(edged, 0.5, canvas, 0.5, 0, dst=canvas)  # a full edge would outweigh so thin a line
    cv2.drawContours(canvas, contours, -1, colour, thin, cv2.LINE_AA)


def _box(canvas: RGB, box: NDArray[np.float64], colour: Colour, *, dashed: bool = False) -> None:
    width = _line_width(canvas)
    segments = _sides(_inset(box, canvas, width), dash=8 * width if dashed else None)
    for ink, thickness in ((EDGE, width + 2 * max(1, width // 2)), (colour, width)):
        for start, end in segments:
            cv2.line(canvas, _fixed(start), _fixed(end), ink, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _inset(box: NDArray[np.float64], canvas: RGB, width: int) -> tuple[float, float, float, float]:
    """Keep the line of a box at the picture's edge visible: move it inside by its half width."""
    height, image_width = canvas.shape[:2]
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return max(x0, width), max(y0, width), min(x1, image_width - width), min(y1, height - width)


def _sides(box: tuple[float, float, float, float], dash: float | None) -> list[tuple[Point, Point]]:
    x0, y0, x1, y1 = box
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    sides = list(pairwise(corners))
    return sides if dash is None else [piece for start, end in sides for piece in _dashes(start, end, dash)]


def _dashes(start: Point, end: Point, dash: float) -> list[tuple[Point, Point]]:
    """Cut a side into an odd number of equal pieces and keep every other, so that corners stay closed."""
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    count = 2 * max(1, round(length / (2 * dash))) + 1
    stops = np.linspace(start, end, count + 1)
    return [((a[0], a[1]), (b[0], b[1])) for a, b in zip(stops[0::2], stops[1::2], strict=True)]


def _seed(canvas: RGB, seed_xy: Point, colour: Colour) -> None:
    x0, y0, x1, y1 = _seed_rectangle(canvas, seed_xy)
    centre = _fixed(((x0 + x1) / 2, (y0 + y1) / 2))
    for radius, ink in ((_SEED_RADIUS, EDGE), (3.75, PAPER), (2.5, EDGE), (2.0, colour)):
        fixed_radius = round(radius * _line_width(canvas) * (1 << _SUBPIXEL_BITS))
        cv2.circle(canvas, centre, fixed_radius, ink, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _seed_rectangle(canvas: RGB, seed_xy: Point) -> Rectangle:
    """Return where a seed's mark lies; at the picture's edge it moves inside, so as to be seen whole."""
    height, width = canvas.shape[:2]
    radius = _SEED_RADIUS * _line_width(canvas)
    x = min(max(seed_xy[0], radius), max(width - radius, radius))
    y = min(max(seed_xy[1], radius), max(height - radius, radius))
    return x - radius, y - radius, x + radius, y + radius


def _labelled(
    canvas: RGB, boxes_xyxy: NDArray[np.float64], texts: list[str], colours: list[Colour], keep_free: list[Rectangle]
) -> RGB:
    line = _line_width(canvas)
    font, pad = _font(max(11, 8 * line)), max(3, 2 * line)
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    taken = list(keep_free)
    for box, text, colour in zip(boxes_xyxy, texts, colours, strict=True):
        _, _, right, bottom = font.getbbox(text, anchor="lt")
        label_wh = round(right) + 2 * pad, round(bottom) + 2 * pad
        if label_wh[0] > picture.width or label_wh[1] > picture.height:
            continue
        x0, y0, x1, y1 = rectangle = _label_place(box, label_wh, picture.size, taken)
        taken.append(rectangle)
        pen.rectangle((x0, y0, x1 - 1, y1 - 1), fill=colour, outline=EDGE, width=max(1, line // 2))
        pen.text((x0 + pad, y0 + pad), text, EDGE, font, anchor="lt")
    return np.array(picture)


def _label_place(
    box: NDArray[np.float64], label_wh: tuple[int, int], image_wh: tuple[int, int], taken: list[Rectangle]
) -> Rectangle:
    """Choose a corner of the box where nothing else is marked: above it, else inside, else anywhere near."""
    (label_w, label_h), (image_w, image_h) = label_wh, image_wh
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    wanted = [(x0, y0 - label_h), (x0, y0), (x1 - label_w, y0 - label_h), (x1 - label_w, y0), (x0, y1 - label_h)]
    wanted += [(x0, y0 + step * label_h) for step in range(1, len(taken) + 1)]
    inside = [(x, y) for x, y in wanted if y >= 0]
    places = [(min(max(0, x), image_w - label_w), min(max(0, y), image_h - label_h)) for x, y in inside or wanted]
    rectangles: list[Rectangle] = [(x, y, x + label_w, y + label_h) for x, y in places]
    return next((each for each in rectangles if not any(_meet(each, other) for other in taken)), rectangles[0])


def _meet(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _fixed(point: Point) -> tuple[int, int]:
    """Continuous pixels to OpenCV's fixed point, in which a pixel's centre is a whole number."""
    scale = 1 << _SUBPIXEL_BITS
    return round((float(point[0]) - 0.5) * scale), round((float(point[1]) - 0.5) * scale)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitting(title: str, width: int, size: int) -> str:
    """Shorten a title with an ellipsis until it fits a width in pixels."""
    font = _font(size)
    if font.getlength(title) <= width:
        return title
    while title and font.getlength(title + "…") > width:
        title = title[:-1]
    return title + "…"


def _scaled_to_height(rgb: RGB, height: int) -> RGB:
    if rgb.shape[0] == height:
        return rgb
    width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
    method = cv2.INTER_AREA if height < rgb.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=method))
