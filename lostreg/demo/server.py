"""Serving the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lostreg
from lostreg.demo.appearance import CSS, HEAD, theme
from lostreg.demo.blocks import build
from lostreg.demo.engine import Engine
from lostreg.demo.limits import MAX_UPLOAD_BYTES
from lostreg.demo.models import Models
from lostreg.errors import UsageError
from lostreg.images import SUFFIXES


def launch(models: Models, *, host: str | None = None, port: int | None = None, root_path: str | None = None) -> Any:
    """Start serving the page and return it; its ``close`` ends that.

    Args:
        models: on offer.
        host: address to listen on; ``None`` for ``GRADIO_SERVER_NAME``, else 127.0.0.1.
        port: likewise ``GRADIO_SERVER_PORT``, else the first free one from 7860.
        root_path: where a reverse proxy shows the page, such as ``/lostreg``; likewise ``GRADIO_ROOT_PATH``.

    Raises:
        UsageError: the address or the port cannot be used.
    """
    examples = example_pictures()
    page = build(Engine(models), examples)
    try:
        page.launch(
            server_name=host,
            server_port=port,
            root_path=root_path,
            share=False,
            ssr_mode=False,
            quiet=True,
            max_file_size=MAX_UPLOAD_BYTES,
            allowed_paths=[str(path) for path in examples],
            footer_links=["api", "settings"],
            css=CSS,
            theme=theme(),
            head=HEAD,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise UsageError(f"Cannot listen there: {error}") from error
    return page


def example_pictures() -> list[Path]:
    """Return the example photographs of a source tree; a wheel carries none."""
    tree = Path(lostreg.__file__).parent.parent
    if not (tree / "app.py").is_file():
        return []
    return sorted(path for path in (tree / "examples").glob("*") if path.suffix in SUFFIXES)
