"""The folder that uploads and results lie in: one of the demo's own, bounded, and gone when it ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lostreg.demo.limits import MEGABYTE

MAX_STORED_BYTES = 1024 * MEGABYTE


@contextmanager
def own_folder() -> Iterator[Path]:
    """Give Gradio a temporary folder of its own for the length of the block; it reads the variable as it starts."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="lostreg-demo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


def trim(folder: Path, most_bytes: int = MAX_STORED_BYTES) -> None:
    """Delete the oldest files of a folder until it holds no more than so many bytes.

    Gradio deletes by age only, so that a flood of uploads within the hour would fill the disk.
    """
    files = sorted(_files(folder))
    held = sum(size for _, size, _ in files)
    for _, size, path in files:
        if held <= most_bytes:
            return
        path.unlink(missing_ok=True)
        held -= size


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            try:
                about = path.stat()
            except FileNotFoundError:  # Gradio's own clean-up, or a batch that has just ended, was faster
                continue
            yield about.st_mtime, about.st_size, path
