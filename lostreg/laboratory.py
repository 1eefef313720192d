"""One model before the eyes: everything that ``lostreg registers inspect`` shows of it.

::

    from lostreg import Discoverer
    from lostreg.laboratory import look_at
    from lostreg.sources import list_sources

    items = list(list_sources(["examples"], sys.stdin).items)
    looked = look_at(Discoverer("dinov2-s14-imgfocus"), items)
    looked.summary.outlier_share, looked.summary.appears, looked.pictures[0].norms
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostreg.discover import Discoverer
from lostreg.discovery import Discovery
from lostreg.images import Photograph
from lostreg.registers.inspection import (
    REFERENCE_LAYER,
    InspectedPicture,
    Summary,
    inspect_pictures,
    outliers_of,
    summarise,
)
from lostreg.registers.probe import Probed, Sample, probe_tokens
from lostreg.sources import ImageItem


@dataclass(frozen=True, eq=False)
class Inspected:
    """What was seen of one model.

    Attributes:
        discoverer: the model.
        items: the pictures.
        pictures: what one forward shows of each.
        summary: of all.
        probed: what linear probes say, if they were asked for.
    """

    discoverer: Discoverer
    items: Sequence[ImageItem]
    pictures: Sequence[InspectedPicture]
    summary: Summary
    probed: Probed | None

    @property
    def name(self) -> str:
        """The model, and what was done to its registers."""
        changed = self.discoverer.registers.identity
        name = self.discoverer.weights.entry.name
        return name if changed is None else f"{name} with {changed['kind']} registers"

    @property
    def extra_names(self) -> list[str]:
        """The names of the tokens that are no patches, in the order of ``extra_norms`` and ``attention``."""
        backbone = self.discoverer.backbone
        count = backbone.prefix_tokens + backbone.suffix_tokens
        names = [f"register {number}" for number in range(1, count + 1)]
        return ["CLS", *names[:-1]] if backbone.class_token else names

    def outliers(self) -> list[NDArray[np.bool_]]:
        """Return which patches of each picture are outliers, ``(N,)``."""
        return outliers_of(self.pictures, self.summary.reference_layer, self.summary.threshold)

    def lost(self, index: int) -> Discovery:
        """Run LOST on one picture, with the feature and offset of the model's preset."""
        return self.discoverer(read_for(self.discoverer, self.items[index]), method="lost", objects=1)

    def verdict(self) -> str:
        """Say in a sentence whether there are outliers."""
        seen = self.summary
        if not seen.pictures_with_outliers:
            return f"no outliers behind block {seen.reference_layer} ({seen.threshold})"
        appear = "" if seen.appears is None else f", appearing behind block {seen.appears}"
        return f"{seen.outlier_share:.2%} of the patches are outliers ({seen.threshold}){appear}"

    def to_json(self) -> dict[str, Any]:
        """Return the figures, JSON-ready; positions of outliers by picture as patch numbers, row-major."""
        weights = self.discoverer.weights
        return {
            "model": weights.entry.name,
            "weights_sha256": weights.sha256,
            "registers": self.discoverer.registers.identity,
            "verdict": self.verdict(),
            **self.summary.to_json(),
            "extra_tokens": self.extra_names,
            "probe": None if self.probed is None else asdict(self.probed),
            "pictures_seen": [
                {"key": item.key, "grid_hw": each.frame.grid_hw, "outliers": np.flatnonzero(mask).tolist()}
                for item, each, mask in zip(self.items, self.pictures, self.outliers(), strict=True)
            ],
        }


def read_for(discoverer: Discoverer, item: ImageItem) -> Photograph:
    """Decode what a model will see of a picture.

    Raises:
        ImageError: it cannot be read.
    """
    return item.read(needed_side=discoverer.input_settings.max_side)


def look_at(
    discoverer: Discoverer,
    items: Sequence[ImageItem],
    reference_layer: int = REFERENCE_LAYER,
    absolute: float | None = None,
    *,
    probe: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Inspected:
    """Look at a model on pictures that can be read.

    Args:
        discoverer: the model.
        items: at least one picture.
        reference_layer: the block behind which outliers are judged.
        absolute: the norm above which a patch is an outlier; ``None`` for the rule of
            :mod:`lostreg.registers.outliers`.
        probe: fit linear probes, which reads every picture a second time.
        advance: called after each picture.

    Raises:
        ImageError: a picture cannot be read.
        UsageError: too few pictures for a probe.
    """
    pictures = []
    for item in items:
        inputs, frame = discoverer.prepare(read_for(discoverer, item))
        pictures += inspect_pictures(discoverer.backbone, inputs[None], [frame])
        advance()
    summary = summarise(pictures, reference_layer, absolute)
    probed = None
    if probe:
        masks = outliers_of(pictures, summary.reference_layer, summary.threshold)
        probed = probe_tokens(lambda index: _sample(discoverer, items[index]), masks)
    return Inspected(discoverer, items, pictures, summary, probed)


def _sample(discoverer: Discoverer, item: ImageItem) -> Sample:
    inputs, frame = discoverer.prepare(read_for(discoverer, item))
    features = discoverer.backbone.extract(inputs[None], [frame], frozenset({"x"}))[0]
    return Sample(features.projection("x").cpu(), inputs, frame.grid_hw)
