"""Inputs that take files in without opening them.

Gradio's own ``Image`` decodes an upload before any function sees it, fetches addresses that stand in the place
of a file, and its ``File`` leaves an empty temporary file behind at each call. The components made here hand on
the path and the original name and nothing else. They are changed after they are made, since Gradio writes a
``.pyi`` beside the module of every class that inherits from a component.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client import utils as client_utils


@dataclass(frozen=True)
class Upload:
    """A file on the server, by what its sender called it."""

    path: Path
    name: str


def picture_input(**options: Any) -> Any:
    """Return an ``Image`` that gives an :class:`Upload` or ``None``."""
    component: Any = gr.Image(type="filepath", image_mode=None, **options)
    component.preprocess = lambda payload: None if payload is None else _upload(payload)
    return _local_only(component)


def files_input(**options: Any) -> Any:
    """Return a ``File`` that gives a list of :class:`Upload`."""
    component: Any = gr.File(type="filepath", file_count="multiple", **options)
    component.preprocess = lambda payload: [] if payload is None else [_upload(each) for each in payload]
    return _local_only(component)


def _upload(payload: Any) -> Upload:
    if payload.path is None:
        raise gr.Error("The picture must be uploaded as a file.", print_exception=False)
    path = Path(payload.path)
    name = str(payload.orig_name or path.name).replace("\\", "/").rpartition("/")[2]
    return Upload(path, name[:200] or "picture")


def _local_only(component: Any) -> Any:
    """Let a component refuse addresses: this page fetches nothing for anybody."""
    move = component.async_move_resource_to_block_cache

    async def refuse_addresses(path: Any) -> Any:
        if path is not None and client_utils.is_http_url_like(str(path)):
            raise gr.Error("Addresses are not fetched; upload the file itself.", print_exception=False)
        return await move(path)

    component.async_move_resource_to_block_cache = refuse_addresses
    return component
