"""The maps beside a result: what the method computed, and what the ViT's tokens hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lostreg.demo.engine import Analysed
from lostreg.demo.limits import MAP_SIDE
from lostreg.discovery import Discovery
from lostreg.draw import heat_map, shrunk
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.graph import SimilarityGraph
from lostreg.regions import Map
from lostreg.settings import MethodSettings

Named = tuple[NDArray[np.uint8], str]


def explanations(analysed: Analysed, discovery: Discovery) -> list[Named]:
    """Draw the maps of the first object, then those of the tokens, each under its name."""
    named = {**discovery.maps, **token_maps(analysed.features)}
    return [(drawn(analysed, values), name) for name, values in named.items()]


def token_maps(features: Features) -> dict[str, Map]:
    """Return the lengths of the patches' tokens, and what the CLS token and each register attend to."""
    maps = {}
    if features.norms is not None:
        norms = features.norms.numpy()
        maps[f"token norms, {norms.min():.0f} to {norms.max():.0f}"] = _on_grid(norms, features)
    if features.attention is not None:
        heads = features.attention.mean(dim=1).numpy()
        names = [f"register {number} attention" for number in range(1, len(heads) + 1)]
        if features.class_token:
            names = ["CLS attention", *names[:-1]]
        maps |= {name: _on_grid(values, features) for name, values in zip(names, heads, strict=True)}
    return maps


def similarity_at(analysed: Analysed, settings: MethodSettings, xy: tuple[float, float]) -> Map:
    """Return the similarity of the patch under a point to all patches.

    Args:
        analysed: the picture.
        settings: whose feature and offset count.
        xy: the point, in pixels of the displayed picture.
    """
    features = analysed.features
    height, width = analysed.rgb.shape[:2]
    row, column = patch_at(replace(features.frame, image_wh=(width, height)), *xy)
    graph = SimilarityGraph.build(features.projection(settings.feature), settings.offset)
    return _on_grid(graph.row(row * features.grid_hw[1] + column).numpy(), features)


def patch_at(frame: Frame, x: float, y: float) -> tuple[int, int]:
    """Return row and column of the patch under a point of the picture; points outside count to the nearest."""
    rows, columns = frame.grid_hw
    column = int(x * frame.content_wh[0] / frame.image_wh[0] // frame.patch_size)
    row = int(y * frame.content_wh[1] / frame.image_wh[1] // frame.patch_size)
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)


def drawn(analysed: Analysed, values: Map) -> NDArray[np.uint8]:
    """Lay a map over the picture, small enough for a row of them."""
    small = np.ascontiguousarray(shrunk(analysed.rgb, MAP_SIDE))
    frame = replace(analysed.features.frame, image_wh=(small.shape[1], small.shape[0]))
    return heat_map(values, frame, small)


def _on_grid(values: NDArray[np.float32], features: Features) -> Map:
    return np.asarray(values, dtype=np.float32).reshape(features.grid_hw)
