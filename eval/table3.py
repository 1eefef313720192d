"""The protocol of "Vision Transformers Need Registers", Table 3, for any model whose weights are at hand.

The paper runs LOST on a projection of the last layer (values for DeiT-III and OpenCLIP, keys for DINOv2), with "a bias
on the Gram matrix" whose value it does not give (arXiv 2309.16588, sec. 3.3); its follow-up takes the best of keys,
queries and values, the last four layers and the bias (arXiv 2506.08010, Tab. 5). Both are measured here::

    python eval/table3.py --root VOCdevkit --split dev500 --output eval/results/table3-dev500
    python eval/table3.py --root VOCdevkit --split trainval --models dinov2-l14 dinov2-l14-reg dinov2-l14+test-time ...

- *As stated*: the paper's projection of the last layer, once as it is and once minus the image's mean feature. Nothing
  is chosen.
- *Swept*: the best of all layers, projections and offsets, chosen with the true boxes of the photographs it is scored
  on, as the literature does. An upper bound, and marked as such.
- *Held out*: chosen on every other photograph and scored on the rest, both ways.

An offset is what ``--offset`` takes, or ``g`` and a number: one bias for all photographs, the median of that quantile
of their own similarities over the first photographs of the list, which needs no label.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from photographs import PhotographList, add_list_options, made_with, open_list, save
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.catalogue import OFFLINE_MODEL, Family
from lostreg.cli import run_script
from lostreg.errors import ModelError, WeightsError
from lostreg.evaluate import evaluate
from lostreg.features import Features
from lostreg.graph import off_diagonal_quantile
from lostreg.images import read_photograph
from lostreg.metrics.corloc import Share
from lostreg.metrics.intervals import share_interval
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.published import published_rows
from lostreg.registers.choice import split_model
from lostreg.settings import Offset, Projection

LAYERS = (-1, -2, -3, -4)
FEATURES: tuple[Projection, ...] = ("k", "q", "v")
OFFSETS = ("none", "mean", "q0.25", "q0.5", "q0.75", "g0.25", "g0.5", "g0.75")
CALIBRATION = 32
VALUES_FAMILIES: tuple[Family, ...] = ("deit3", "openclip", "clip", "siglip")


class Setting(NamedTuple):
    """One cell of the sweep; the offset as on the command line."""

    layer: int
    feature: Projection
    offset: str

    def __str__(self) -> str:
        """Return it as the table shows it."""
        return f"{self.feature}, layer {self.layer}, offset {self.offset}"


Biases = dict[Setting, float]
Hits = dict[Setting, NDArray[np.bool_]]


def photograph_features(
    discoverer: Discoverer, photographs: PhotographList, layers: Sequence[int], count: int
) -> Iterator[tuple[str, int, Features]]:
    """Yield key, layer and features of the first photographs: one forward per layer, cut off behind it."""
    # VOC annotates the stored frame
    for image in tqdm(photographs.images[:count], unit="photograph", mininterval=5):
        tensor, frame = discoverer.prepare(read_photograph(image.path, upright=False))
        for layer in layers:
            (features,) = discoverer.backbone.extract(tensor[None], [frame], frozenset(FEATURES), layer)
            yield image.key, layer, features


def global_biases(discoverer: Discoverer, photographs: PhotographList, settings: Sequence[Setting]) -> Biases:
    """Return the bias of every setting whose offset begins with ``g``, without a label."""
    wanted = [setting for setting in settings if setting.offset.startswith("g")]
    if not wanted:
        return {}
    quantiles: dict[Setting, list[float]] = {setting: [] for setting in wanted}
    layers = sorted({setting.layer for setting in wanted})
    for _, layer, features in photograph_features(discoverer, photographs, layers, CALIBRATION):
        for setting in wanted:
            if setting.layer == layer:
                vectors = features.projection(setting.feature)
                quantiles[setting].append(off_diagonal_quantile(vectors, float(setting.offset[1:])))
    return {setting: float(np.median(values)) for setting, values in quantiles.items()}


def sweep(discoverer: Discoverer, photographs: PhotographList, settings: Sequence[Setting], biases: Biases) -> Hits:
    """Run LOST with every setting on every photograph; return whether each photograph was hit."""
    boxes: dict[Setting, dict[str, PredictedBoxes]] = {setting: {} for setting in settings}
    layers = sorted({setting.layer for setting in settings})
    for key, layer, features in photograph_features(discoverer, photographs, layers, len(photographs.images)):
        for setting in settings:
            if setting.layer == layer:
                offset = Offset("scalar", biases[setting]) if setting in biases else Offset.parse(setting.offset)
                found = discoverer.discover(features, method="lost", feature=setting.feature, offset=offset)
                boxes[setting][key] = PredictedBoxes(found.boxes_xyxy, found.scores)
    results = {each: evaluate(photographs.truths, Predictions("lost", boxes[each])) for each in settings}
    return {each: result.best_ious >= 0.5 for each, result in results.items()}


def figure(hit: NDArray[np.bool_]) -> dict[str, Any]:
    """Return CorLoc and its interval."""
    share = Share(int(hit.sum()), len(hit))
    return {"hits": share.hits, "images": share.images, "percent": share.percent, "interval95": share_interval(share)}


def best_of(hit: Hits, where: slice) -> Setting:
    """Return the setting with most hits on some of the photographs; the first of equals."""
    return max(hit, key=lambda setting: int(hit[setting][where].sum()))


def held_out(hit: Hits) -> tuple[list[Setting], NDArray[np.bool_]]:
    """Choose on every other photograph and score on the rest, both ways."""
    halves = (slice(0, None, 2), slice(1, None, 2))
    chosen = [best_of(hit, half) for half in halves]
    scored = [hit[setting][half] for setting, half in zip(chosen, reversed(halves), strict=True)]
    return chosen, np.concatenate(scored)


def stated_settings(family: Family) -> list[Setting]:
    """Return what the paper states for a family, with the two offsets that need no choice."""
    feature: Projection = "v" if family in VALUES_FAMILIES else "k"
    return [Setting(-1, feature, "none"), Setting(-1, feature, "mean")]


def measure_model(spec: str, args: argparse.Namespace, photographs: PhotographList) -> dict[str, Any]:
    """Return all figures of one model, or why its weights or its registers cannot be had.

    Args:
        spec: the model's name, perhaps with ``+`` and what ``--registers`` takes.
        args: of the command line.
        photographs: to find objects on.
    """
    name, registers = split_model(spec)
    try:
        discoverer = Discoverer(name, device=args.device, engine="torch", registers=registers)
    except (ModelError, WeightsError) as error:
        return {"model": spec, "not_measured": str(error)}
    stated = stated_settings(discoverer.weights.entry.family)
    settings = list(
        dict.fromkeys([*stated, *(Setting(*each) for each in product(args.layers, FEATURES, args.offsets))])
    )
    biases = global_biases(discoverer, photographs, settings)
    hit = sweep(discoverer, photographs, settings, biases)
    swept = best_of(hit, slice(None))
    chosen, scored = held_out(hit)
    return {
        "model": spec,
        "weights_sha256": discoverer.weights.sha256,
        "stated": [{"setting": str(each), **figure(hit[each])} for each in stated],
        "swept": {"setting": str(swept), "settings_tried": len(settings), **figure(hit[swept])},
        "held_out": {"settings": [str(each) for each in chosen], **figure(scored)},
        "all": [{"setting": str(each), "bias": biases.get(each), **figure(hit[each])} for each in settings],
    }


def to_markdown(found: dict[str, Any], name: str) -> str:
    """Return the table, and the literature's rows below it."""
    lines = [
        f"# The protocol of the registers paper's Table 3 on VOC2007 {name}: LOST, one box per photograph",
        "",
        f"    {found['command']}",
        "",
        "| model | protocol | setting | CorLoc [95 %] |",
        "|---|---|---|---|",
    ]
    for model in found["models"]:
        lines += _model_rows(model)
    lines += [
        "",
        "*Swept* is chosen with the true boxes of the same photographs: an upper bound, as in the literature's swept "
        "rows. *Held out* is chosen on every other photograph and scored on the rest.",
        "",
        "The literature on the whole of VOC2007 trainval:",
        "",
        "| method | backbone | CorLoc | source |",
        "|---|---|---|---|",
    ]
    rows = [row for row in published_rows("voc07") if row.method.startswith("LOST") and not row.trained]
    lines += [f"| {row.method} | {row.backbone} | {row.voc07} | {row.source} |" for row in rows]
    return "\n".join(lines) + "\n"


def _model_rows(model: dict[str, Any]) -> list[str]:
    name = model["model"]
    if "not_measured" in model:
        return [f"| {name} | not measured | {model['not_measured']} | |"]
    swept, held = model["swept"], model["held_out"]
    rows = [("as stated", each["setting"], each) for each in model["stated"]]
    rows.append((f"**swept**, best of {swept['settings_tried']}", swept["setting"], swept))
    rows.append(("held out", "; ".join(held["settings"]), held))
    return [f"| {name} | {protocol} | {setting} | {_percent(each)} |" for protocol, setting, each in rows]


def _percent(each: dict[str, Any]) -> str:
    low, high = each["interval95"]
    return f"{each['percent']:.1f} [{low:.1f}, {high:.1f}]"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_list_options(parser)
    parser.add_argument("--models", nargs="+", default=[OFFLINE_MODEL], metavar="NAME[+REGISTERS]")
    parser.add_argument("--layers", nargs="+", type=int, default=LAYERS, metavar="INT")
    parser.add_argument("--offsets", nargs="+", default=OFFSETS, metavar="T")
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    args = parse_arguments()
    photographs = open_list(args)
    models = [measure_model(name, args, photographs) for name in args.models]
    found = {**made_with(args), "images": len(photographs.images), "models": models}
    save(args.output, found, to_markdown(found, photographs.name))


if __name__ == "__main__":
    sys.exit(run_script(main))
