"""The whole page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from lostreg.demo import texts
from lostreg.demo.about_tab import about_tab
from lostreg.demo.api import endpoints
from lostreg.demo.batch_tab import batch_tab
from lostreg.demo.compare_tab import compare_tab
from lostreg.demo.discover_tab import discover_tab
from lostreg.demo.engine import Engine

QUEUE_SIZE = 32
"""Requests that may wait; the next one is told that the page is busy."""

CACHE_SECONDS = 3600
"""How long uploads and results are kept at most."""

_SWEEP_SECONDS = 600


def build(engine: Engine, examples: Sequence[Path] = ()) -> Any:
    """Return the page, ready to be launched."""
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(_SWEEP_SECONDS, CACHE_SECONDS)) as page:
        gr.Markdown(texts.INTRO)
        with gr.Tab("Discover"):
            discover_tab(engine, examples)
        with gr.Tab("Compare"):
            compare_tab(engine)
        with gr.Tab("Batch"):
            batch_tab(engine)
        with gr.Tab("About"):
            about_tab(engine)
        endpoints(engine)
    page.queue(max_size=QUEUE_SIZE)
    return page
