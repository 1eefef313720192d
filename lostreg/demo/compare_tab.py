"""The second tab: two models, methods, features or offsets on one picture."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lostreg.demo import maps, texts
from lostreg.demo.controls import controls, overrides
from lostreg.demo.discover_tab import PICTURE_LABEL, PICTURE_QUEUE, maps_gallery
from lostreg.demo.engine import Engine
from lostreg.demo.uploads import Upload, picture_input
from lostreg.demo.views import View, drawn, look
from lostreg.errors import LostregError
from lostreg.metrics.corloc import iou


def compare_tab(engine: Engine) -> None:
    """Lay out the tab and connect it."""
    gr.Markdown(texts.COMPARE)
    with gr.Row():
        with gr.Column(min_width=280):
            picture = picture_input(
                label=PICTURE_LABEL, sources=["upload", "clipboard"], height=240, elem_id="compare-picture"
            )
            button = gr.Button("Compare", variant="primary", elem_id="compare-run")
        with gr.Column(min_width=280):
            gr.Markdown("## Left")
            left = controls(engine.models, "left")
        with gr.Column(min_width=280):
            gr.Markdown("## Right")
            right = controls(engine.models, "right", another_method=True)
    said = gr.HTML(texts.status("Choose a picture and two settings that differ."), elem_id="compare-said")
    slider = gr.ImageSlider(
        label="Left and right",
        show_label=False,
        type="numpy",
        format="jpeg",
        interactive=False,
        max_height=520,
        buttons=["download", "fullscreen"],
        elem_id="compare-slider",
    )
    with gr.Row():
        galleries = [
            maps_gallery(label, min_width=280) for label in ("What the left side saw", "What the right side saw")
        ]

    def compare(upload: Upload | None, *values: Any) -> tuple[Any, ...]:
        return _compared(engine, upload, values[: len(left.all)], values[len(left.all) :])

    button.click(
        compare,
        [picture, *left.all, *right.all],
        [said, slider, *galleries],
        api_visibility="private",
        **PICTURE_QUEUE,
    )


def _compared(engine: Engine, upload: Upload | None, *sides: Any) -> tuple[Any, ...]:
    if upload is None:
        return texts.problem("Choose a picture first."), None, None, None
    try:
        views = [look(engine, upload, model, **overrides(*values)) for model, *values in sides]
    except LostregError as error:
        return texts.problem(str(error)), None, None, None
    pictures = [drawn(view) for view in views]
    seen = [maps.explanations(view.analysed, view.discovery) for view in views]
    return texts.status(_difference(*views)), (pictures[0], pictures[1]), *seen


def _difference(left: View, right: View) -> str:
    """Say what either side found, and how far their first boxes agree."""
    counts = f"Left: {_count(left)}. Right: {_count(right)}."
    if len(left.discovery) == 0 or len(right.discovery) == 0:
        return counts
    overlap = float(iou(left.discovery.boxes_xyxy[:1], right.discovery.boxes_xyxy[:1])[0])
    return f"{counts} Their first boxes overlap with IoU {overlap:.2f}."


def _count(view: View) -> str:
    scores = view.discovery.scores
    if len(scores) == 0:
        return "nothing"
    return f"{len(scores)} object{'s' if len(scores) > 1 else ''}, contrast of the first {scores[0]:.2f}"
