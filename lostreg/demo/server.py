"""Serving the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import lostreg
from lostreg.demo.blocks import build
from lostreg.demo.engine import Engine
from lostreg.demo.limits import MAX_UPLOAD_BYTES
from lostreg.demo.models import Models
from lostreg.errors import UsageError
from lostreg.images import SUFFIXES

CSS = """
h1, h2, h3, strong, th { font-weight: 600 !important; }
.said { font-size: 1.05rem; margin: 0; padding: .5rem .75rem; border-left: 4px solid #1995c9; }
.said.problem { border-left-color: #d9480f; font-weight: 600; }
.said progress { width: 50%; vertical-align: middle; }
.figure { max-width: 520px; width: 100%; }
.pictures .grid-wrap { max-height: none !important; min-height: 0 !important; }
@media (max-width: 640px) {
  .pictures .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #discover-row { flex-direction: column; }
  #discover-row > .column { display: contents; }
  #discover-controls { order: 1; }
  #discover-row .below { order: 2; }
}
"""


ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><rect x='2' y='3' width='12' height='10' rx='1' "
    "fill='#40c4ff55' stroke='#1995c9' stroke-width='2'/><circle cx='8' cy='8' r='2' fill='#ffb000'/></svg>"
)
"""A box and its seed. Part of the page, as browsers look for an icon beside it, where behind a proxy others answer."""


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
            head=f'<link rel="icon" href="data:image/svg+xml,{quote(ICON)}">',
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
