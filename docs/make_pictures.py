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


def tile(discoverer: Discoverer, path: Path) -> np.ndarray:
    """Return a photograph with what is found on it."""
    rgb = read_photograph(path).rgb
    found = discoverer(rgb)
    return overlay(rgb, found.boxes_xyxy, found.masks, found.scores, found.seeds_xy)


def row(tiles: list[np.ndarray], width: int = 1200, gap: int = 8) -> np.ndarray:
    """Lay pictures side by side at one height, so that the row has a width in pixels."""
    height = (width - gap * (len(tiles) - 1)) / sum(t.shape[1] / t.shape[0] for t in tiles)
    canvas = np.full((round(height), width, 3), 255, dtype=np.uint8)
    left = 0.0
    for each in tiles:
        right = left + height * each.shape[1] / each.shape[0]
        size = (min(round(right), width) - round(left), canvas.shape[0])
        canvas[:, round(left) : round(left) + size[0]] = cv2.resize(each, size, interpolation=cv2.INTER_AREA)
        left = right + gap
    return canvas


def main() -> None:
    """Write both pictures."""
    images = ROOT / "images"
    images.mkdir(exist_ok=True)
    examples = ROOT.parent / "examples"
    discoverer = Discoverer(MODEL)
    tiles = [tile(discoverer, examples / name) for name in NAMES]
    gap = np.full((8, 1200, 3), 255, dtype=np.uint8)
    Image.fromarray(np.concatenate([row(tiles[:3]), gap, row(tiles[3:])])).save(images / "examples.jpg", quality=88)

    rgb = read_photograph(examples / "coffee.png").rgb
    found = discoverer(rgb, method="lost", feature="v", offset="none")
    drawn = overlay(rgb, found.boxes_xyxy, found.masks, found.scores, found.seeds_xy)
    maps = [(name, heat_map(values, found.frame, rgb)) for name, values in found.maps.items()]
    Image.fromarray(panel([("found", drawn), *maps])).save(images / "maps.jpg", quality=88)


if __name__ == "__main__":
    main()
