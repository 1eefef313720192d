"""Find a model's register neurons without labels (arXiv 2506.08010, Alg. 1 and App. A.4).

Outliers are judged behind a reference layer; a hidden unit's score is its mean absolute activation at them, first over
the outliers of a picture, then over the pictures that have some. Units up to the block where outliers appear take
part. A unit that is active nearly everywhere is no register neuron, whatever its score: as in the paper's notebook, at
least half of the tokens must leave it below :data:`QUIET`. How many are taken is raised until the outliers are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lostreg.backbone import Backbone
from lostreg.engines.torch_engine import autocast
from lostreg.geometry import Frame
from lostreg.registers.inspection import REFERENCE_LAYER, InspectedPicture, inspect_pictures
from lostreg.registers.neuron_list import Neuron
from lostreg.registers.outliers import Threshold, appearing_block, outlier_threshold
from lostreg.registers.shift import add_test_time_register
from lostreg.registers.watch import watch_hidden

QUIET = 0.5
COUNTS = (5, 10, 20, 40, 80, 160, 320)
GONE = 0.1
"""Outliers count as gone when at most this share of them is left."""

_TRIED_ON = 20

Load = Callable[[], tuple[torch.Tensor, Frame]]
"""Reads one picture as the ViT's input ``(3, H, W)`` and its frame."""


@dataclass(frozen=True)
class Search:
    """What to search for, and where.

    Attributes:
        absolute: the norm above which a patch is an outlier; ``None`` for the rule of ``outliers``.
        reference_layer: the block behind which outliers are judged.
        top_layer: the last block whose units take part; ``None`` for the one where outliers appear.
        top_k: how many units to take; ``None`` raises the number until the outliers are gone.
    """

    absolute: float | None = None
    reference_layer: int = REFERENCE_LAYER
    top_layer: int | None = None
    top_k: int | None = None


@dataclass(frozen=True)
class Found:
    """Register neurons, and what they rest on.

    Attributes:
        neurons: the highest score first; none where there are no outliers.
        threshold: above which patches counted as outliers.
        reference_layer: the block behind which they did, from 0.
        top_layer: the last block that was searched; ``None`` where there are no outliers.
        images: how many pictures were looked at.
        images_with_outliers: how many of them have outliers.
        outlier_share: of all patches.
        left: the share of outliers that is left with a test-time register, on some of the pictures; ``None`` where
            there are none.
    """

    neurons: tuple[Neuron, ...]
    threshold: Threshold
    reference_layer: int
    top_layer: int | None
    images: int
    images_with_outliers: int
    outlier_share: float
    left: float | None


def find_register_neurons(
    backbone: Backbone, pictures: Sequence[Load], search: Search, advance: Callable[[], None] = lambda: None
) -> Found:
    """Find register neurons on pictures, each of which is read two or three times.

    Args:
        backbone: a model without a test-time register.
        pictures: at least one.
        search: what to search for.
        advance: called after each forward over a picture.

    Raises:
        ModelError: the model's MLPs have no hidden units that could be found.
        UsageError: there is no such layer.
    """
    layer = backbone.block_index(search.reference_layer)
    inspected = []
    for load in pictures:
        inspected.append(_inspect(backbone, load))
        advance()
    threshold = outlier_threshold(np.concatenate([each.norms[layer] for each in inspected]), search.absolute)
    masks = [each.norms[layer] > threshold.value for each in inspected]
    with_outliers = [(load, mask) for load, mask in zip(pictures, masks, strict=True) if mask.any()]
    share = float(np.concatenate(masks).mean())
    if not with_outliers:
        return Found((), threshold, layer, None, len(pictures), 0, share, None)
    appears = appearing_block([each.norms for each in inspected], masks)
    top = backbone.block_index(search.top_layer) if search.top_layer is not None else min(layer, _or(appears, layer))
    scores = _scores(backbone, with_outliers, top, advance)
    ranked = _ranked(scores)
    tried = with_outliers[:: max(1, len(with_outliers) // _TRIED_ON)]
    for count in COUNTS if search.top_k is None else (search.top_k,):
        neurons = ranked[:count]
        left = _outliers_left(backbone, tried, neurons, layer, threshold)
        if left <= GONE:
            break
    return Found(tuple(neurons), threshold, layer, top, len(pictures), len(with_outliers), share, left)


def _or(block: int | None, otherwise: int) -> int:
    return otherwise if block is None else block


def _inspect(backbone: Backbone, load: Load) -> InspectedPicture:
    inputs, frame = load()
    return inspect_pictures(backbone, inputs[None], [frame])[0]


@torch.inference_mode()
def _scores(
    backbone: Backbone,
    pictures: Sequence[tuple[Load, NDArray[np.bool_]]],
    top: int,
    advance: Callable[[], None],
) -> list[torch.Tensor]:
    """Return the score of every hidden unit of blocks 0 to ``top``, -1 where it is active nearly everywhere."""
    scores: dict[int, torch.Tensor] = {}
    quiet: dict[int, torch.Tensor] = {}
    chosen = torch.empty(0)

    def look(block: int, hidden: torch.Tensor) -> None:
        activation = hidden[0].float().abs()
        scores[block] = scores.get(block, 0) + activation[chosen].mean(dim=0)
        quiet[block] = quiet.get(block, 0) + (activation < QUIET).float().mean(dim=0)

    view = watch_hidden(backbone.model, look, top, backbone.entry.name)
    for load, mask in pictures:
        inputs = load()[0].to(backbone.device)
        chosen = (torch.from_numpy(np.flatnonzero(mask)) + backbone.prefix_tokens).to(backbone.device)
        with autocast(backbone.device, backbone.precision):
            view.forward_features(inputs[None])
        advance()
    count = len(pictures)
    return [
        torch.where(
            quiet[block] / count >= 0.5, scores[block] / count, torch.tensor(-1.0, device=backbone.device)
        ).cpu()
        for block in range(top + 1)
    ]


def _ranked(scores: Sequence[torch.Tensor]) -> list[Neuron]:
    """Return all units that may be register neurons, the highest score first, ties by block and unit."""
    neurons = [
        Neuron(block, unit, round(score, 4))
        for block, values in enumerate(scores)
        for unit, score in enumerate(values.tolist())
        if score > 0
    ]
    return sorted(neurons, key=lambda each: (-(each.score or 0.0), each.block, each.unit))


def _outliers_left(
    backbone: Backbone,
    pictures: Sequence[tuple[Load, NDArray[np.bool_]]],
    neurons: Sequence[Neuron],
    layer: int,
    threshold: Threshold,
) -> float:
    """Return how many patches are outliers with a test-time register, as a share of how many were."""
    units: dict[int, list[int]] = {}
    for each in neurons:
        units.setdefault(each.block, []).append(each.unit)
    changed = add_test_time_register(backbone.model, units, backbone.entry.name)
    with_register = Backbone(backbone.entry, changed, backbone.device, backbone.precision)
    before = sum(int(mask.sum()) for _, mask in pictures)
    after = sum(int((_inspect(with_register, load).norms[layer] > threshold.value).sum()) for load, _ in pictures)
    return after / before
