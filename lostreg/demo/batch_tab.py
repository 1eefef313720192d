"""The third tab: several pictures, or an archive of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from lostreg.demo import texts
from lostreg.demo.archives import FILE_TYPES, pictures_of
from lostreg.demo.batch import COLUMNS, DOWNLOADS, Batch, run
from lostreg.demo.controls import controls, overrides
from lostreg.demo.discover_tab import maps_gallery
from lostreg.demo.engine import Engine
from lostreg.demo.limits import MAX_BATCH_PICTURES, MAX_UPLOAD_BYTES, MEGABYTE
from lostreg.demo.uploads import Upload, files_input
from lostreg.errors import LostregError


def batch_tab(engine: Engine) -> None:
    """Lay out the tab and connect it."""
    gr.Markdown(texts.BATCH.format(pictures=MAX_BATCH_PICTURES))
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            files = files_input(
                label=f"Pictures or archives (up to {MAX_UPLOAD_BYTES // MEGABYTE} MB a file)",
                file_types=FILE_TYPES,
                elem_id="batch-files",
                height=200,
            )
            chosen = controls(engine.models, "batch")
            with gr.Row():
                start = gr.Button("Find objects", variant="primary", elem_id="batch-run")
                cancel = gr.Button("Cancel", elem_id="batch-cancel")
        with gr.Column(scale=3, min_width=300):
            said = gr.HTML(texts.status("Choose pictures first."), elem_id="batch-said")
            gallery = maps_gallery("Objects", elem_id="batch-gallery")
            table = gr.Dataframe(
                headers=list(COLUMNS), label="Table", interactive=False, wrap=True, type="array", elem_id="batch-table"
            )
            with gr.Row():
                buttons = [
                    gr.DownloadButton(name, interactive=False, size="sm", min_width=120, elem_id=f"download-{number}")
                    for number, name in enumerate(DOWNLOADS)
                ]

    def process(uploads: list[Upload], model: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        yield from _process(engine, uploads, model, overrides(*values))

    event = start.click(
        process,
        [files, *chosen.all],
        [said, gallery, table, *buttons],
        concurrency_id="batch",
        concurrency_limit=1,
        show_progress="hidden",
        api_visibility="private",
    )
    cancel.click(
        lambda: texts.status("Cancelled; what was done is shown."),
        None,
        said,
        cancels=[event],
        api_visibility="private",
    )


def _process(engine: Engine, uploads: list[Upload], model: str, wanted: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    try:
        items = pictures_of(uploads)
        # Gradio copies what is yielded into its own cache before it asks for more, so nothing here needs to stay.
        with tempfile.TemporaryDirectory(prefix="lostreg-batch-") as folder:
            yield _shown(texts.progress(0, len(items)), Batch(len(items)))
            for batch in run(engine, items, model, wanted, Path(folder)):
                yield _shown(_said(batch), batch)
    except LostregError as error:
        yield _shown(texts.problem(str(error)), Batch(0))


def _said(batch: Batch) -> str:
    if not batch.downloads:
        return texts.progress(len(batch.rows), batch.total)
    failed = len(batch.rows) - len(batch.pictures)
    ending = f", {failed} could not be used; the table says why" if failed else ""
    return texts.status(f"{len(batch.pictures)} of {batch.total} pictures done{ending}. The results are ready.")


def _shown(said: str, batch: Batch) -> tuple[Any, ...]:
    files: list[Any] = batch.downloads or [None] * len(DOWNLOADS)
    buttons = [gr.DownloadButton(value=path, interactive=path is not None) for path in files]
    return said, list(batch.pictures), [list(row) for row in batch.rows], *buttons
