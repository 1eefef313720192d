"""Plant outliers into DINOv2 ViT-S/14 and see whether the register laboratory finds and mends them.

The planting is fitted on every fourth photograph of the list, without labels; everything is measured on the whole
list. Written are ``OUTPUT.json`` and ``OUTPUT.md``; with ``--save`` also the planted weights, a checkpoint that every
command takes::

    python eval/planted_outliers.py --root VOCdevkit --split dev100 --output eval/results/planted-dev100
    python eval/planted_outliers.py … --save planted.safetensors
    lostreg registers inspect examples --model dinov2-s14-imgfocus --checkpoint planted.safetensors --output out
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from photographs import PhotographList, add_list_options, made_with, open_list, save
from planting import fired, plant
from safetensors.torch import save_file

from lostreg import Discoverer
from lostreg.backbone import Backbone
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.evaluate import Evaluation, compare_runs, evaluate
from lostreg.files import written_whole
from lostreg.images import read_photograph
from lostreg.predictions import PredictedBoxes, Predictions
from lostreg.registers.find import Search, find_register_neurons
from lostreg.registers.inspection import InspectedPicture, inspect_pictures, outliers_of, summarise
from lostreg.registers.shift import add_test_time_register

LOST = {
    "values": {"method": "lost", "feature": "v", "offset": "none"},
    "keys less their mean": {"method": "lost", "feature": "k", "offset": "mean"},
}
ROUNDS = 15


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_list_options(parser)
    parser.add_argument("--save", type=Path, metavar="FILE.safetensors", help="write the planted weights")
    args = parser.parse_args(arguments)
    chosen = open_list(args)
    discoverer = Discoverer(OFFLINE_MODEL, device=args.device, engine="torch")
    inputs = [discoverer.prepare(read_photograph(image.path)) for image in chosen.images]
    stock = discoverer.backbone
    model = copy.deepcopy(stock.model)
    units = plant(model, [each for each, _ in inputs[::4]])
    if args.save:
        with written_whole(args.save) as temporary:
            save_file(model.state_dict(), temporary)
    planted = backbone_of(stock, model)
    found = find_register_neurons(planted, [lambda each=each: each for each in inputs], Search(top_k=count_of(units)))
    automatic = find_register_neurons(planted, [lambda each=each: each for each in inputs], Search())
    by_block: dict[int, list[int]] = {}
    for neuron in automatic.neurons:
        by_block.setdefault(neuron.block, []).append(neuron.unit)
    mended = backbone_of(stock, add_test_time_register(model, by_block, OFFLINE_MODEL))
    models = {"stock": stock, "planted": planted, "planted, test-time register": mended}
    runs = {name: run_lost(discoverer, each, chosen) for name, each in models.items()}
    edited = {(block, unit) for block, each in units.items() for unit in each}
    facts: dict[str, Any] = {
        **made_with(args),
        "units": units,
        "inspect": inspected(planted, model, units, inputs),
        "inspect_stock": inspected(stock, None, {}, inputs),
        "find": {
            "edited": len(edited),
            "recovered": len(edited & {(each.block, each.unit) for each in found.neurons}),
            "automatic": len(automatic.neurons),
            "automatic_left": automatic.left,
            "top_layer": automatic.top_layer,
        },
        "lost": {feature: effect({name: each[feature] for name, each in runs.items()}) for feature in LOST},
        "cost": cost(stock, add_test_time_register(stock.model, by_block, OFFLINE_MODEL), inputs[0]),
    }
    save(args.output, facts, table(facts))
    print(table(facts))


def backbone_of(stock: Backbone, model: Any) -> Backbone:
    """Wrap another model as the stock one is."""
    return Backbone(stock.entry, model, stock.device, stock.precision)


def count_of(units: dict[int, list[int]]) -> int:
    """Return how many units were edited."""
    return sum(len(each) for each in units.values())


def inspected(backbone: Backbone, model: Any, units: dict[int, list[int]], inputs: list[Any]) -> dict[str, Any]:
    """Compare what inspection says with where the edited units fired."""
    pictures: list[InspectedPicture] = []
    for tensor, frame in inputs:
        pictures += inspect_pictures(backbone, tensor[None], [frame])
    summary = summarise(pictures)
    facts: dict[str, Any] = {
        "outlier_share": summary.outlier_share,
        "threshold": str(summary.threshold),
        "appears": summary.appears,
        "neighbour_cosine": summary.neighbour_cosine,
        "border_share": summary.border_share,
    }
    if model is not None:
        truth = np.concatenate([fired(model, units, tensor) for tensor, _ in inputs])
        masks = np.concatenate(outliers_of(pictures, summary.reference_layer, summary.threshold))
        norms = np.concatenate([each.norms[summary.reference_layer] for each in pictures])
        median = float(np.median(norms))
        facts |= {
            "planted_share": float(truth.mean()),
            "planted_found": float(masks[truth].mean()),
            "found_planted": float(truth[masks].mean()),
            "planted_above_3_medians": float((norms[truth] > 3 * median).mean()),
            "planted_block": max(units),
        }
    return facts


def run_lost(discoverer: Discoverer, backbone: Backbone, chosen: PhotographList) -> dict[str, Evaluation]:
    """Run LOST with a backbone over the list, on every feature in :data:`LOST`."""
    stock, discoverer.backbone = discoverer.backbone, backbone
    boxes: dict[str, dict[str, PredictedBoxes]] = {feature: {} for feature in LOST}
    for image in chosen.images:
        features = discoverer.extract(image.path, {"k", "v"})
        for feature, settings in LOST.items():
            discovery = discoverer.discover(features, **settings)
            boxes[feature][image.key] = PredictedBoxes(discovery.boxes_xyxy, discovery.scores)
    discoverer.backbone = stock
    return {feature: evaluate(chosen.truths, Predictions(feature, each)) for feature, each in boxes.items()}


def effect(results: dict[str, Evaluation]) -> dict[str, Any]:
    """Return CorLoc of the stock, the planted and the mended model, and their paired comparisons."""
    stock, planted, mended = results.values()
    pairs = {
        "planted less stock": (stock, planted),
        "test-time register less planted": (planted, mended),
        "test-time register less stock": (stock, mended),
    }
    comparisons = {name: compare_runs(*pair) for name, pair in pairs.items()}
    drop = (stock.corloc.percent or 0) - (planted.corloc.percent or 0)
    back = (mended.corloc.percent or 0) - (planted.corloc.percent or 0)
    return {
        "corloc": {name: each.corloc.percent for name, each in results.items()},
        "brought_back": back / drop if drop > 0 else None,
        "comparisons": {
            name: {"difference": each.difference, "interval": each.interval, "p_value": each.p_value}
            for name, each in comparisons.items()
        },
    }


def cost(stock: Backbone, with_register: Any, prepared: tuple[torch.Tensor, Any]) -> dict[str, float]:
    """Time forwards in turn in this process; return medians of the ratio to the stock model."""
    from lostreg.backbone import build_model
    from lostreg.catalogue import BY_NAME

    tensor, frame = prepared
    four = build_model(BY_NAME["dinov2-s14-reg"])
    runs: dict[str, Callable[[], Any]] = {
        name: (lambda each=each: each.extract(tensor[None], [frame], frozenset({"v"})))
        for name, each in {
            "stock": stock,
            "test-time register": backbone_of(stock, with_register),
            "4 registers": backbone_of(stock, four),
        }.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 2):
        for name, forward in runs.items():
            started = time.process_time()
            forward()
            if number >= 2:
                seconds[name].append(time.process_time() - started)
    stock_times = np.array(seconds["stock"])
    return {name: float(np.median(np.array(each) / stock_times)) for name, each in seconds.items()}


def table(facts: dict[str, Any]) -> str:
    """Return the results for people."""
    seen, stock, found = facts["inspect"], facts["inspect_stock"], facts["find"]
    lines = [
        f"# Planted outliers, VOC2007 {facts['split']}",
        "",
        f"`{facts['command']}`",
        "",
        "| what | figure |",
        "|---|---|",
        f"| patches planted | {seen['planted_share']:.2%} |",
        f"| of these, longer than 3 times the median | {seen['planted_above_3_medians']:.1%} |",
        f"| cosine to neighbours, outliers and others | {seen['neighbour_cosine'][0]:.2f}, "
        f"{seen['neighbour_cosine'][1]:.2f} |",
        f"| inspect: planted patches found | {seen['planted_found']:.1%} |",
        f"| inspect: found patches that were planted | {seen['found_planted']:.1%} |",
        f"| inspect: block where they appear (planted up to block {seen['planted_block']}) | {seen['appears']} |",
        f"| inspect on the stock model: outliers | {stock['outlier_share']:.2%} |",
        f"| find: edited units among as many found | {found['recovered']} of {found['edited']} |",
        f"| find without --top-k: units taken, outliers left | {found['automatic']}, {found['automatic_left']:.1%} |",
        *(line for feature, each in facts["lost"].items() for line in lost_lines(feature, each)),
        *(f"| processor time of a forward, {name} over stock | {ratio:.3f} |" for name, ratio in facts["cost"].items()),
    ]
    return "\n".join(lines) + "\n"


def lost_lines(feature: str, found: dict[str, Any]) -> list[str]:
    """Return what LOST on one feature says."""
    back = found["brought_back"]
    return [
        *(f"| LOST on {feature}, CorLoc, {name} | {percent:.1f} |" for name, percent in found["corloc"].items()),
        f"| of the drop, brought back by the test-time register | {'no drop' if back is None else f'{back:.0%}'} |",
        *(
            f"| {name} | {each['difference']:+.1f}, 95 % interval {each['interval'][0]:+.1f} to "
            f"{each['interval'][1]:+.1f}, McNemar p = {each['p_value']:.2g} |"
            for name, each in found["comparisons"].items()
        ),
    ]


if __name__ == "__main__":
    sys.exit(run_script(main))
