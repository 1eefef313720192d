"""The folder that uploads and results lie in: one of the demo's own, and gone when it ends.

It is bounded, since Gradio deletes by age only, so that a flood of uploads within the hour would fill the disk.
"""

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
