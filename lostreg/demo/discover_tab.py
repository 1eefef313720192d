"""The first tab: a picture, its objects, and the maps that explain them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from lostreg.demo import maps, reproduce, texts
from lostreg.demo.controls import Controls, controls, overrides, show_where_read, tell_wanted
from lostreg.demo.engine import Engine
from lostreg.demo.limits import MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS, MEGABYTE, read_bytes
from lostreg.demo.uploads import Upload, picture_input
from lostreg.demo.views import drawn, look
from lostreg.errors import LostregError
from lostreg.settings import with_overrides

PICTURE_QUEUE: dict[str, Any] = {"concurrency_id": "picture", "concurrency_limit": 2}
"""Two requests that need a picture's features are worked on at once; the others wait in the queue."""

PICTURE_LABEL = f"Picture (up to {MAX_PICTURE_BYTES // MEGABYTE} MB and {MAX_PICTURE_PIXELS / 1e6:g} megapixels)"


@dataclass(frozen=True)
class _Shown:
    """What the tab shows, in the order in which :func:`answer` fills it."""

    said: Any
    result: Any
    gallery: Any
    record: Any
    settings: Any
    shell: Any
    python: Any

    @property
    def all(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]


def discover_tab(engine: Engine, examples: Sequence[Path]) -> None:
    """Lay out the tab and connect it."""
    with gr.Row(elem_id="discover-row"):
        with gr.Column(scale=2, min_width=300):
            picture = picture_input(
                label=PICTURE_LABEL, sources=["upload", "clipboard", "webcam"], height=300, elem_id="picture"
            )
            if examples:
                _examples_row(examples, picture)
            with gr.Column(elem_id="discover-controls"):
                chosen = controls(engine.models, "discover")
                threshold = gr.Slider(
                    0,
                    1,
                    0.5,
                    step=0.01,
                    label="Threshold",
                    info="moving it sets the offset to this share of the similarities",
                    elem_id="discover-threshold",
                )
                show_where_read(chosen.method, threshold, "offset")
        with gr.Column(scale=3, min_width=300):
            said = gr.HTML(texts.status(texts.WAITING), elem_id="said")
            result = gr.Image(
                label="Objects",
                show_label=False,
                format="jpeg",
                interactive=False,
                height=460,
                buttons=["download", "fullscreen"],
                elem_id="result",
                alt_text="The picture with the objects that were found",
            )
            gr.Markdown(texts.CLICK, elem_classes="below")
            gallery = maps_gallery("What the method saw", elem_id="maps")
            gr.Markdown(texts.MAPS, elem_classes="below")
            similar = gr.Image(
                label="Similarity of the clicked patch to all others",
                format="jpeg",
                interactive=False,
                buttons=["download", "fullscreen"],
                visible=False,
                elem_id="similar",
                elem_classes="below",
            )
    _connect(engine, picture, chosen, threshold, _Shown(said, result, gallery, *_to_take_away()), similar)


def _examples_row(examples: Sequence[Path], picture: Any) -> None:
    """Lay out pictures to choose from.

    ``gr.Examples`` would put an ``Image`` of its own, which decodes what it is sent, in the place of our input.
    """
    row = gr.Dataset(
        components=["image"],
        samples=[[str(path)] for path in examples],
        type="index",
        label="Examples",
        elem_id="examples",
    )
    row.click(lambda index: str(examples[index]), row, picture, queue=False, api_visibility="private")


def maps_gallery(label: str, **options: Any) -> Any:
    """Return an empty gallery for maps."""
    return gr.Gallery(
        label=label,
        show_label=False,
        columns=3,
        format="jpeg",
        height="auto",
        object_fit="contain",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_classes=["pictures", "below"],
        **options,
    )


def _to_take_away() -> tuple[Any, Any, Any, Any]:
    with gr.Accordion("Take it away: record, settings, command line, Python", open=False, elem_id="take-away"):
        shell = gr.Code(label="Command line", language="shell", interactive=False, lines=2)
        python = gr.Code(label="Python", language="python", interactive=False, lines=2)
        settings = gr.Code(label="Exact settings (JSON)", language="json", interactive=False, lines=2, max_lines=16)
        record = gr.Code(
            label="Record, as in records.jsonl (JSON)", language="json", interactive=False, lines=2, max_lines=16
        )
    return record, settings, shell, python


def _connect(engine: Engine, picture: Any, chosen: Controls, threshold: Any, shown: _Shown, similar: Any) -> None:
    inputs = [picture, *chosen.all]

    def show(upload: Upload | None, model: str, *values: Any) -> tuple[Any, ...]:
        return answer(engine, upload, model, *values)

    def similarity(
        upload: Any,
        model: Any,
        method: Any,
        feature: Any,
        offset: Any,
        k_patches: Any,
        objects: Any,
        click: gr.SelectData,
    ) -> Any:
        wanted = overrides(method, feature, offset, k_patches, objects)
        return _similarity(engine, upload, model, wanted, click.index)

    run: dict[str, Any] = {**PICTURE_QUEUE, "api_visibility": "private"}
    quiet: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    picture.change(show, inputs, shown.all, **run)
    picture.change(lambda: gr.Image(visible=False), None, similar, **quiet)
    chosen.wanted.change(show, inputs, shown.all, trigger_mode="always_last", show_progress="hidden", **run)
    share = threshold.input(None, threshold, chosen.offset, js="(share) => `q${share}`", api_visibility="private")
    tell_wanted(share.then, chosen)
    shown.result.select(similarity, inputs, similar, **run)


def answer(engine: Engine, upload: Upload | None, model: str, *values: Any) -> tuple[Any, ...]:
    """Return what the tab shows for a picture, a model and the values of :func:`~lostreg.demo.controls.overrides`."""
    if upload is None:
        return texts.status(texts.WAITING), None, None, "", "", "", ""
    try:
        view = look(engine, upload, model, **overrides(*values))
    except LostregError as error:
        return texts.problem(str(error)), None, None, "", "", "", ""
    discoverer = engine.models.get(model)
    return (
        texts.summary(view.discovery.scores, cheap_ms=view.cheap_ms, vit_ms=view.vit_ms),
        drawn(view),
        maps.explanations(view.analysed, view.discovery),
        reproduce.as_text(view.record.to_json()),
        reproduce.as_text(discoverer.identity(view.discovery.settings)),
        reproduce.shell(view.discovery.settings, discoverer, upload.name),
        reproduce.python(view.discovery.settings, discoverer, upload.name),
    )


def _similarity(engine: Engine, upload: Upload | None, model: str, wanted: dict[str, Any], xy: Any) -> Any:
    """Draw the similarity of the patch under a click on the displayed picture."""
    if upload is None:
        return gr.Image(visible=False)
    try:
        analysed, _ = engine.analyse(read_bytes(upload.path), model)
        settings = with_overrides(engine.models.get(model).settings, **wanted)
        values = maps.similarity_at(analysed, settings, xy)
    except LostregError as error:
        raise gr.Error(escape(str(error)), print_exception=False) from error
    return gr.Image(maps.drawn(analysed, values), visible=True)
