"""Make the picture of docs/registers.md: one example as three models see it, which differ in their outliers alone::

    python eval/planted_outliers.py --root VOCdevkit --split dev100 --output planted --save planted.safetensors
    lostreg registers find examples --model dinov2-s14-imgfocus --checkpoint planted.safetensors --output planted.json
    python docs/make_register_pictures.py planted.safetensors planted.json

Writes ``docs/images/registers.jpg``: a row per model (as it is, with planted outliers, with a test-time register added
to these) of norms before the final LayerNorm, CLS attention and LOST's expansion on values, in the manner of Figs. 1,
3 and 13 of arXiv 2309.16588.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from lostreg import Discoverer, read_photograph
from lostreg.draw import heat_map, overlay, panel
from lostreg.laboratory import look_at
from lostreg.sources import list_sources

DOCS = Path(__file__).parent
EXAMPLE = DOCS.parent / "examples" / "flower.jpg"
MODEL = "dinov2-s14-imgfocus"


def row(name: str, discoverer: Discoverer) -> np.ndarray:
    """Return what one model sees, side by side."""
    looked = look_at(discoverer, list(list_sources([str(EXAMPLE)], sys.stdin).items))
    (seen,) = looked.pictures
    rgb = read_photograph(EXAMPLE).rgb
    norms = seen.norms[looked.summary.reference_layer]
    found = discoverer(rgb, method="lost", feature="v", offset="none")
    maps = {
        f"norms, {norms.min():.0f} to {norms.max():.0f}": norms,
        "CLS attention": seen.attention[0],
        "LOST's expansion": found.maps["expansion"],
    }
    grids = {title: np.asarray(values, np.float32).reshape(seen.frame.grid_hw) for title, values in maps.items()}
    drawn = [(title, heat_map(values, seen.frame, rgb)) for title, values in grids.items()]
    return panel([(name, overlay(rgb, found.boxes_xyxy, found.masks, found.scores, found.seeds_xy)), *drawn], 240)


def main() -> None:
    """Write the picture."""
    planted, neurons = sys.argv[1:]
    rows = [
        row("as it is", Discoverer(MODEL)),
        row("outliers planted", Discoverer(MODEL, checkpoint=planted)),
        row("test-time register", Discoverer(MODEL, checkpoint=planted, registers=f"test-time:{neurons}")),
    ]
    width = min(each.shape[1] for each in rows)
    stacked = np.concatenate([each[:, :width] for each in rows])
    Image.fromarray(stacked).save(DOCS / "images" / "registers.jpg", quality=88)


if __name__ == "__main__":
    main()
