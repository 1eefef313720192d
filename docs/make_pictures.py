"""Make the pictures of the README from the shipped examples::

    python docs/make_pictures.py

Writes ``docs/images/examples.jpg`` (what is found, one object each) and ``docs/images/maps.jpg`` (LOST's steps on
one photograph, in the manner of Fig. 13 of the registers paper).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lostreg import Discoverer, read_photograph
from lostreg.draw import heat_map, overlay, panel

ROOT = Path(__file__).parent
NAMES = ("chelsea.png", "coffee.png", "astronaut.png", "china.jpg", "flower.jpg", "camera.png")
MODEL = "dinov2-s14-imgfocus"


def tile(discoverer: Discoverer, path: Path, height: int) -> np.ndarray:
    """Return a photograph with what is found on it, scaled to a height."""
    rgb = read_photograph(path).rgb
    found = discoverer(rgb)
    drawn = overlay(rgb, found.boxes_xyxy, found.masks, found.scores, found.seeds_xy)
    width = round(drawn.shape[1] * height / drawn.shape[0])
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)


def sheet(rows: list[list[np.ndarray]], gap: int = 8) -> np.ndarray:
    """Lay tiles of one height in rows, every row cropped to the narrowest."""
    joined = [
        np.concatenate([np.pad(t, ((0, gap), (0, gap), (0, 0)), constant_values=255) for t in row], 1) for row in rows
    ]
    width = min(row.shape[1] for row in joined)
    return np.concatenate([row[:, :width] for row in joined])[:-gap, :-gap]


def main() -> None:
    """Write both pictures."""
    images = ROOT / "images"
    images.mkdir(exist_ok=True)
    examples = ROOT.parent / "examples"
    discoverer = Discoverer(MODEL)
    tiles = [tile(discoverer, examples / name, 240) for name in NAMES]
    Image.fromarray(sheet([tiles[:3], tiles[3:]])).save(images / "examples.jpg", quality=88)

    rgb = read_photograph(examples / "coffee.png").rgb
    found = discoverer(rgb, method="lost", feature="v", offset="none")
    drawn = overlay(rgb, found.boxes_xyxy, found.masks, found.scores, found.seeds_xy)
    maps = [(name, heat_map(values, found.frame, rgb)) for name, values in found.maps.items()]
    Image.fromarray(panel([("found", drawn), *maps])).save(images / "maps.jpg", quality=88)


if __name__ == "__main__":
    main()
