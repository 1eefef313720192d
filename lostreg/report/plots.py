"""Plots as inline SVG: columns for histograms, and tables with bars for named shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lostreg.draw import PALETTE
from lostreg.report.markup import Child, Html, element, joined

_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 14, 8, 34


def histogram(
    values: ArrayLike,
    top: float,
    label: str,
    *,
    bins: int = 20,
    strong_from: float | None = None,
    logarithmic: bool = False,
) -> Html:
    """Return a histogram of values from 0 to ``top``; larger values count in the last column.

    Args:
        values: numbers from 0.
        top: where the last column ends.
        label: what the values are, below the axis.
        bins: how many columns.
        strong_from: columns from this value on are drawn in the strong colour; ``None``: all are.
        logarithmic: heights are powers of ten, so that a few far away are seen beside many.
    """
    edges = np.linspace(0.0, top, bins + 1)
    counts, _ = np.histogram(np.minimum(np.asarray(values, dtype=np.float64), top), edges)
    tips = [f"{low:.4g} to {high:.4g}: {count}" for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)]
    strong = [strong_from is None or low >= strong_from - 1e-9 for low in edges[:-1]]
    ticks = {float(position): f"{position * top / bins:.3g}" for position in np.linspace(0, bins, 6)}
    return columns([float(count) for count in counts], tips, ticks, label, strong, logarithmic=logarithmic)


def columns(
    values: Sequence[float],
    tips: Sequence[str],
    ticks: dict[float, str],
    label: str,
    strong: Sequence[bool],
    *,
    logarithmic: bool = False,
) -> Html:
    """Return a column chart.

    Args:
        values: the heights, from 0.
        tips: what the pointer shows over each column.
        ticks: labels below the axis by position, in columns from the left edge of the first.
        label: what the axis is.
        strong: whether each column is drawn in the strong colour.
        logarithmic: heights are powers of ten; the values are counts.
    """
    if logarithmic:
        values = [math.log10(1 + value) for value in values]
    ceiling, step = _scale(max(values, default=0.0))
    plot_w, plot_h = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    pitch, base = plot_w / max(1, len(values)), _TOP + plot_h
    grid = [
        _grid_line(base - plot_h * level / ceiling, f"{10**level - 1:,.0f}" if logarithmic else f"{level:g}")
        for level in np.arange(0, ceiling + step / 2, step)
    ]
    bars = [
        element(
            "g",
            element("title", tip),
            element(
                "rect",
                x=f"{_LEFT + index * pitch + pitch * 0.08:.2f}",
                y=f"{base - plot_h * value / ceiling:.2f}",
                width=f"{pitch * 0.84:.2f}",
                height=f"{plot_h * value / ceiling:.2f}",
                class_="strong" if is_strong else "weak",
            ),
        )
        for index, (value, tip, is_strong) in enumerate(zip(values, tips, strong, strict=True))
    ]
    names = [
        element("text", text, x=f"{_LEFT + position * pitch:.2f}", y=base + 14, text_anchor="middle")
        for position, text in ticks.items()
    ]
    axis = element("text", label, x=_LEFT + plot_w / 2, y=_HEIGHT - 4, text_anchor="middle", class_="axis")
    return element("svg", *grid, *bars, *names, axis, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)


def curves(series: Mapping[str, Sequence[float]], label: str) -> Html:
    """Return lines over 0, 1, 2, …, on a logarithmic axis, with a legend.

    Args:
        series: by name, all of one length; what is below 0.001 is drawn there.
        label: what the axes are.
    """
    values = np.maximum(np.array(list(series.values()), dtype=np.float64), 1e-3)
    low, high = math.floor(math.log10(values.min())), math.ceil(math.log10(values.max()) + 1e-9)
    span = max(1, high - low)
    plot_w, plot_h, count = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM, values.shape[1]

    def place(position: int, value: float) -> str:
        y = _TOP + plot_h * (1 - (math.log10(value) - low) / span)
        return f"{_LEFT + plot_w * (position + 0.5) / count:.2f},{y:.2f}"

    grid = [_grid_line(_TOP + plot_h * (1 - step / span), f"{10.0 ** (low + step):g}") for step in range(span + 1)]
    lines, names = [], []
    for (name, each), colour in zip(zip(series, values, strict=True), PALETTE, strict=False):
        stroke = "stroke:rgb({},{},{})".format(*colour)
        points = " ".join(place(position, value) for position, value in enumerate(each))
        lines.append(element("polyline", element("title", name), points=points, class_="line", style=stroke))
        names.append(element("span", element("i", style=stroke.replace("stroke", "background")), name))
    every = max(1, count // 12)
    ticks = [
        element(
            "text", f"{n}", x=f"{_LEFT + plot_w * (n + 0.5) / count:.2f}", y=_TOP + plot_h + 14, text_anchor="middle"
        )
        for n in range(0, count, every)
    ]
    axis = element("text", label, x=_LEFT + plot_w / 2, y=_HEIGHT - 4, text_anchor="middle", class_="axis")
    drawn = element("svg", *grid, *lines, *ticks, axis, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)
    return joined(drawn, element("p", *names, class_="keys"))


def bar_rows(rows: Sequence[tuple[str, float | None, str]], name: str) -> Html:
    """Return a table of shares in percent with a bar each; ``None`` means that there is nothing to count.

    Args:
        rows: name, percent and a note such as ``12 of 20``.
        name: the heading of the names.
    """
    head = element("tr", element("th", name), element("th", "CorLoc"), element("th", "", class_="wide"), element("th"))
    body = [
        element("tr", element("th", title, scope="row"), *_bar_cells(percent, note)) for title, percent, note in rows
    ]
    return element("table", element("thead", head), element("tbody", *body), class_="bars")


def _bar_cells(percent: float | None, note: str) -> tuple[Child, ...]:
    text = "–" if percent is None else f"{percent:.1f}"
    bar = element("div", class_="bar", style=f"width:{percent or 0.0:.1f}%")
    return (
        element("td", text, class_="number"),
        element("td", element("div", bar, class_="track"), class_="wide"),
        element("td", note, class_="note"),
    )


def _grid_line(y: float, text: str) -> Html:
    return joined(
        element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.2f}", y2=f"{y:.2f}", class_="grid"),
        element("text", text, x=_LEFT - 5, y=f"{y + 3.5:.2f}", text_anchor="end"),
    )


def _scale(highest: float) -> tuple[float, float]:
    """Return the top of an axis and the step of its labels: 1, 2 or 5 times a power of ten, 3 to 6 of them."""
    if highest <= 0:
        return 1.0, 1.0
    rough = highest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    step = max(step, 1.0)  # counts: no half pictures
    return step * math.ceil(highest / step), step
