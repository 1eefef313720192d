"""From a picture and settings to what the tabs show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostreg.demo import reproduce
from lostreg.demo.engine import Analysed, Engine
from lostreg.demo.limits import read_bytes
from lostreg.demo.uploads import Upload
from lostreg.discovery import Discovery
from lostreg.overlays import drawn_on
from lostreg.records import Record, record_of


@dataclass(frozen=True)
class View:
    """A result with all that was needed for it.

    Attributes:
        analysed: the picture after the ViT.
        discovery: what was found, in the frame of the picture itself.
        record: the same as in ``records.jsonl``.
        cheap_ms: milliseconds of the cheap step.
        vit_ms: milliseconds of the ViT, or ``None`` if the picture was known.
    """

    analysed: Analysed
    discovery: Discovery
    record: Record
    cheap_ms: float
    vit_ms: float | None


def look(engine: Engine, upload: Upload, model: str, **overrides: Any) -> View:
    """Find the objects of an uploaded picture.

    Raises:
        LostregError: the picture, the model or a setting cannot be used.
    """
    return view_of(engine, read_bytes(upload.path), upload.name, model, **overrides)


def view_of(engine: Engine, content: bytes, name: str, model: str, **overrides: Any) -> View:
    """Find the objects of an encoded picture.

    Raises:
        LostregError: the picture, the model or a setting cannot be used.
    """
    analysed, new = engine.analyse(content, model)
    discovery, cheap_ms = engine.discover(analysed, **overrides)
    record = record_of(
        discovery,
        key=name,
        path=name,
        settings=reproduce.settings_fingerprint(discovery.settings, engine.models.get(model)),
        orientation=analysed.orientation,
        ms={**(analysed.ms if new else {}), "graph": cheap_ms},
    )
    return View(analysed, discovery, record, cheap_ms, analysed.ms["vit"] if new else None)


def drawn(view: View) -> NDArray[np.uint8]:
    """Draw the objects on the picture as it is displayed."""
    return drawn_on(view.analysed.rgb, view.discovery)
