"""The pictures of a report: which ones, and how they are drawn into the page."""

from __future__ import annotations

import base64
import io
import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lostreg.draw import RGB, outline, overlay, shrunk
from lostreg.errors import ImageError
from lostreg.images import read_photograph
from lostreg.records import Record, decode_mask
from lostreg.report.markup import Html, element
from lostreg.runreader import read_records

LONGEST = 480
MAP_LONGEST = 240
_JPEG_QUALITY = 80
_MISSING_GREY = 190

MapMaker = Callable[[RGB], list[tuple[str, RGB]]]
"""From a photograph to its titled explanation maps."""


@dataclass(frozen=True)
class Group:
    """Pictures under one heading, by key, each with a line of text of its own."""

    title: str
    captions: dict[str, str]


def sample(keys: Iterable[str], count: int, seed: int) -> list[str]:
    """Choose up to ``count`` keys at random, the same ones for the same keys and seed, whatever their order."""
    ordered = sorted(keys)
    return sorted(random.Random(seed).sample(ordered, min(count, len(ordered))))


def draw_groups(
    run: Path,
    groups: list[Group],
    *,
    paths: Mapping[str, Path],
    truths_xyxy: Mapping[str, NDArray[np.float64]],
    make_maps: MapMaker | None,
) -> list[Html]:
    """Draw groups of pictures as sections of the page.

    Args:
        run: the run folder, read once.
        groups: each key in at most one of them.
        paths: where pictures lie that are not where they were when the run was made.
        truths_xyxy: annotated boxes ``(n, 4)`` by key, drawn dashed.
        make_maps: gives each photograph's maps; ``None`` shows none.
    """
    wanted = {key: caption for group in groups for key, caption in group.captions.items()}
    figures: dict[str, Html] = {}
    for record in read_records(run):
        if record.key in wanted:
            truth = truths_xyxy.get(record.key, np.zeros((0, 4)))
            figures[record.key] = _figure(record, wanted[record.key], paths.get(record.key), truth, make_maps)
    return [
        element(
            "section",
            element("h2", group.title),
            element("div", *(figures[key] for key in group.captions if key in figures), class_="gallery"),
        )
        for group in groups
        if group.captions
    ]


def _figure(
    record: Record, caption: str, path: Path | None, truth_xyxy: NDArray[np.float64], make_maps: MapMaker | None
) -> Html:
    photograph, problem = _photograph(record, path)
    small = shrunk(photograph, LONGEST)
    picture = outline(_with_objects(small, record), truth_xyxy * _scale(small, record), dashed=True)
    maps = make_maps(photograph) if make_maps is not None and problem is None else []
    tiles = [
        element("div", jpeg(shrunk(rgb, MAP_LONGEST), f"{title} of {record.key}"), element("span", title))
        for title, rgb in maps
    ]
    return element(
        "figure",
        jpeg(picture, record.key),
        element("div", *tiles, class_="maps") if tiles else None,
        element(
            "figcaption",
            element("b", record.key),
            element("span", caption),
            element("span", problem, class_="problem") if problem else None,
        ),
    )


def _photograph(record: Record, path: Path | None) -> tuple[RGB, str | None]:
    """Read a record's photograph; a grey one of its size and the reason where it is not at hand."""
    grey = np.full((record.height, record.width, 3), _MISSING_GREY, np.uint8)
    source = Path(record.path)
    if path is not None and not os.path.isfile(source):  # noqa: PTH113 - a record's path may be longer than any file's
        source = path
    try:
        photograph = read_photograph(source, upright=record.upright)
    except ImageError as error:
        return grey, str(error)
    if photograph.wh != (record.width, record.height):
        return grey, f"{source} has changed since the run: it was {record.width} x {record.height} pixels then."
    return photograph.rgb, None


def _with_objects(small: RGB, record: Record) -> RGB:
    height, width = small.shape[:2]
    boxes = np.array([each.bbox_xyxy for each in record.objects], dtype=np.float64).reshape(-1, 4)
    scale = _scale(small, record)
    empty = np.zeros((height, width), np.bool_)
    masks = [empty if each.mask is None else _resized(decode_mask(each.mask), width, height) for each in record.objects]
    seeds = [
        None if each.seed_xy is None else (each.seed_xy[0] * scale[0], each.seed_xy[1] * scale[1])
        for each in record.objects
    ]
    scores = np.array([each.score for each in record.objects], dtype=np.float64)
    return overlay(small, boxes * scale, np.array(masks, np.bool_).reshape(-1, height, width), scores, seeds)


def _scale(small: RGB, record: Record) -> NDArray[np.float64]:
    height, width = small.shape[:2]
    return np.array([width / record.width, height / record.height] * 2)


def _resized(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(small, dtype=np.bool_)


def jpeg(rgb: RGB, alt: str) -> Html:
    """Return a picture as an ``img`` that carries its own data."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    height, width = rgb.shape[:2]
    return element("img", src=f"data:image/jpeg;base64,{data}", alt=alt, width=width, height=height)
