"""What tiling would cost: the ViT sees quarters of a photograph instead of the whole.

A ViT's attention grows with the square of the patches, so large pictures are often cut into tiles. Two ways are
measured against the whole photograph: the tiles' features joined into one graph, and each tile a picture of its own, of
which the box that stands out most clearly is taken::

    python eval/tiling.py --root VOCdevkit --split dev500 --output eval/results/tiling-dev500

``OUTPUT.json`` and ``OUTPUT.md`` give CorLoc with its 95 % bootstrap interval and the paired comparison with the whole
photograph (McNemar's exact test).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from photographs import PhotographList, add_list_options, add_model_option, made_with, open_list, save
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.cli import run_script
from lostreg.evaluate import compare_runs, evaluate
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.images import read_photograph
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.settings import MethodSettings, Part

ROWS = {"lost on values": MethodSettings("lost", feature="v"), "head-consensus": MethodSettings("head-consensus")}
PARTS: set[Part] = {"v", "attention"}
WHOLE, JOINED, ALONE = "the whole photograph", "four tiles, one graph", "four tiles, each alone"

Tile = tuple[slice, slice]
Boxes = dict[str, dict[str, dict[str, PredictedBoxes]]]
"""By variant, row and photograph."""


def tiles_of(grid_hw: tuple[int, int]) -> list[Tile]:
    """Return rows and columns of the quarters of a grid; a grid of one row or column has two, of one patch one."""
    halves = [[slice(0, (side + 1) // 2), slice((side + 1) // 2, side)] for side in grid_hw]
    return [(rows, columns) for rows in halves[0] for columns in halves[1] if _size((rows, columns)) > 0]


def extract_tiles(discoverer: Discoverer, inputs: torch.Tensor, frame: Frame) -> list[Features]:
    """Run the ViT on each tile alone; their frames lie on the tile, without padding."""
    patch = frame.patch_size
    found = []
    for rows, columns in tiles_of(frame.grid_hw):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        wh = (width * patch, height * patch)
        tile = inputs[:, rows.start * patch : rows.stop * patch, columns.start * patch : columns.stop * patch]
        found += discoverer.extract_batch(tile[None], [Frame(wh, wh, (height, width), patch)], PARTS)
    return found


def joined(tiles: list[Features], frame: Frame) -> Features:
    """Lay the features of tiles on the grid of their photograph; each has an equal say in the attention per patch."""
    values = torch.empty(*frame.grid_hw, tiles[0].projection("v").shape[1])
    attention = torch.empty(*tiles[0].attention.shape[:2], *frame.grid_hw)
    patches = frame.grid_hw[0] * frame.grid_hw[1]
    for (rows, columns), tile in zip(tiles_of(frame.grid_hw), tiles, strict=True):
        values[rows, columns] = tile.projection("v").reshape(*tile.grid_hw, -1)
        share = _size((rows, columns)) / patches
        attention[..., rows, columns] = share * tile.attention.reshape(*attention.shape[:2], *tile.grid_hw)
    tokens = {"v": values.reshape(patches, -1)}
    return Features(frame, tokens, attention.flatten(2), class_token=tiles[0].class_token)


def best_alone(discoverer: Discoverer, tiles: list[Features], frame: Frame, settings: MethodSettings) -> PredictedBoxes:
    """Return the box of the tile that has the highest score, in pixels of the photograph."""
    best = None
    for (rows, columns), tile in zip(tiles_of(frame.grid_hw), tiles, strict=True):
        found = discoverer.discover(tile, **_overrides(settings))
        if best is None or found.scores[0] > best[0]:
            in_patches = found.boxes_xyxy[0] / frame.patch_size + np.tile([columns.start, rows.start], 2)
            best = found.scores[0], frame.box_to_image(tuple(in_patches))
    return PredictedBoxes(np.array([best[1]]), np.array([best[0]]))


def measure(discoverer: Discoverer, photographs: PhotographList) -> Boxes:
    """Return the first box of every variant and row on every photograph."""
    boxes: Boxes = {variant: {row: {} for row in ROWS} for variant in (WHOLE, JOINED, ALONE)}
    for image in tqdm(photographs.images, unit="photograph", mininterval=5):
        inputs, frame = discoverer.prepare(read_photograph(image.path, upright=False))
        (whole,) = discoverer.extract_batch(inputs[None], [frame], PARTS)
        tiles = extract_tiles(discoverer, inputs, frame)
        for row, settings in ROWS.items():
            for variant, features in ((WHOLE, whole), (JOINED, joined(tiles, frame))):
                found = discoverer.discover(features, **_overrides(settings))
                boxes[variant][row][image.key] = PredictedBoxes(found.boxes_xyxy, found.scores)
            boxes[ALONE][row][image.key] = best_alone(discoverer, tiles, frame, settings)
    return boxes


def compare(boxes: Boxes, photographs: PhotographList) -> list[dict[str, Any]]:
    """Return the figures of each variant by row."""
    found = []
    for variant, by_row in boxes.items():
        rows = {}
        for row, predicted in by_row.items():
            result, reference = (
                evaluate(photographs.truths, Predictions(row, each)) for each in (predicted, boxes[WHOLE][row])
            )
            versus = compare_runs(reference, result)
            rows[row] = {
                "corloc": result.to_json()["corloc"],
                "difference": versus.difference,
                "interval95": list(versus.interval),
                "mcnemar_p": versus.p_value,
            }
        found.append({"name": variant, "rows": rows})
    return found


def to_markdown(found: dict[str, Any]) -> str:
    """Return the table."""
    lines = [
        f"# Tiles instead of the whole photograph, VOC2007 {found['list']}: {found['images']} photographs, "
        f"{found['model']}",
        "",
        f"    {found['command']}",
        "",
        "CorLoc in percent with its 95 % interval; in brackets the difference from the whole photograph, and McNemar's "
        "exact p.",
        "",
        "| the ViT sees | " + " | ".join(ROWS) + " |",
        "|---" * (len(ROWS) + 1) + "|",
    ]
    for variant in found["variants"]:
        lines.append(f"| {variant['name']} | " + " | ".join(_cell(each) for each in variant["rows"].values()) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> str:
    low, high = row["corloc"]["interval95"]
    text = f"{row['corloc']['percent']:.1f} [{low:.1f}, {high:.1f}]"
    return text if row["mcnemar_p"] == 1 else f"{text} ({row['difference']:+.1f}, p {row['mcnemar_p']:.2g})"


def _overrides(settings: MethodSettings) -> dict[str, Any]:
    return {"method": settings.method, "feature": settings.feature}


def _size(tile: Tile) -> int:
    rows, columns = tile
    return (rows.stop - rows.start) * (columns.stop - columns.start)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_list_options(parser)
    add_model_option(parser)
    args = parser.parse_args()
    photographs = open_list(args)
    discoverer = Discoverer(args.model, device=args.device)
    found = made_with(args) | {
        "list": photographs.name,
        "images": len(photographs.images),
        "model": args.model,
        "engine": discoverer.engine.name,
        "variants": compare(measure(discoverer, photographs), photographs),
    }
    save(args.output, found, to_markdown(found))


if __name__ == "__main__":
    sys.exit(run_script(main))
