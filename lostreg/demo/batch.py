"""Several pictures, one after the other, into a run folder and its exports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from lostreg.demo.engine import Engine
from lostreg.demo.limits import MAP_SIDE, read_bytes
from lostreg.demo.views import View, drawn, view_of
from lostreg.draw import shrunk
from lostreg.errors import FeatureError, ImageError
from lostreg.export import export_run
from lostreg.layout import RECORDS
from lostreg.runfolder import RunFolder
from lostreg.settings import with_overrides
from lostreg.sources import ImageItem

COLUMNS = ("picture", "width", "height", "objects", "contrast of the first", "note")
DOWNLOADS = ("COCO", "YOLO", "CSV", "JSON lines")


@dataclass
class Batch:
    """What a batch has come to so far.

    Attributes:
        total: how many pictures there are.
        rows: one per picture that is done, in the order of :data:`COLUMNS`.
        pictures: files with the objects drawn, and their captions.
        downloads: files in the order of :data:`DOWNLOADS`, once all is done.
    """

    total: int
    rows: list[list[str | int | float]] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)


def run(engine: Engine, items: list[ImageItem], model: str, overrides: dict[str, Any], folder: Path) -> Iterator[Batch]:
    """Find objects in every picture; yield what there is after each, and at the end with the downloads.

    Args:
        engine: does the work.
        items: at least one picture.
        model: a name on offer.
        overrides: method settings.
        folder: an empty one, for everything that is written.

    Raises:
        LostregError: the model or a setting cannot be used; a bad picture only costs itself.
    """
    batch = Batch(len(items))
    discoverer = engine.models.get(model)
    with RunFolder(folder / "run", discoverer.identity(with_overrides(discoverer.settings, **overrides))) as results:
        for item in items:
            try:
                view = view_of(engine, _content(item), item.key, model, **overrides)
            except (ImageError, FeatureError) as error:
                results.fail(item.key, item.path, error.reason, str(error))
                batch.rows.append([item.key, "", "", "", "", str(error)])
            else:
                results.add(view.record)
                _add(batch, view, folder)
            yield batch
    batch.downloads = [str(path) for path in exports(folder)]
    yield batch


def exports(folder: Path) -> list[Path]:
    """Write a run's exports beside it; return the files in the order of :data:`DOWNLOADS`."""
    run_folder = folder / "run"
    coco = export_run(run_folder, "coco", folder / "coco").path
    yolo = export_run(run_folder, "yolo", folder / "yolo").path
    table = export_run(run_folder, "csv", folder / "csv").path
    return [coco, Path(shutil.make_archive(str(folder / "yolo"), "zip", yolo)), table, run_folder / RECORDS]


def _content(item: ImageItem) -> bytes:
    if isinstance(item.content, bytes):
        return item.content
    if isinstance(item.content, Path):
        return read_bytes(item.content)
    assert isinstance(item.content, ImageError)
    raise item.content


def _add(batch: Batch, view: View, folder: Path) -> None:
    record, scores = view.record, view.discovery.scores
    first = round(float(scores[0]), 2) if len(scores) else ""
    batch.rows.append([record.key, record.width, record.height, len(scores), first, ""])
    path = folder / f"picture-{len(batch.rows)}.jpg"
    Image.fromarray(shrunk(drawn(view), MAP_SIDE)).save(path, quality=85)
    batch.pictures.append((str(path), record.key))
