"""Lists of register neurons: the hidden units of a model's MLPs that write its outliers, as small JSON files.

A list belongs to one model, and where it names a checksum, to one file of weights. Lists are looked for among those
that ship with lostreg, and in the cache, where ``lostreg registers find`` leaves them.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from lostreg.errors import ModelError, WeightsError
from lostreg.files import cache_dir, write_text_whole
from lostreg.weights import Weights

FORMAT = 1


@dataclass(frozen=True)
class Neuron:
    """A hidden unit of an MLP.

    Attributes:
        block: the transformer block, from 0.
        unit: the position in the hidden layer, from 0.
        score: its mean absolute activation at outliers, or ``None`` where the source does not tell.
    """

    block: int
    unit: int
    score: float | None = None


@dataclass(frozen=True)
class NeuronList:
    """Register neurons of one model, and how they were found.

    Attributes:
        model: lostreg's name of the model.
        neurons: in the order of their source; those found here, the highest score first.
        weights_sha256: of the file of weights, or ``None`` where the source does not tell.
        source: where weights or list come from, for people.
        threshold: the rule by which tokens counted as outliers, for people.
        reference_layer: the block at whose output they counted, from 0.
        top_layer: the last block that was searched.
        images: how many pictures were looked at.
        images_with_outliers: how many of them had outliers.
    """

    model: str
    neurons: tuple[Neuron, ...]
    weights_sha256: str | None = None
    source: str = ""
    threshold: str = ""
    reference_layer: int | None = None
    top_layer: int | None = None
    images: int | None = None
    images_with_outliers: int | None = None

    def by_block(self) -> dict[int, list[int]]:
        """Return the units of every block that has some, in the order of the list."""
        units: dict[int, list[int]] = defaultdict(list)
        for neuron in self.neurons:
            units[neuron.block].append(neuron.unit)
        return dict(units)

    def write(self, path: Path) -> None:
        """Write the list whole.

        Raises:
            OSError: the disk refuses.
        """
        write_text_whole(path, json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")


def list_for(weights: Weights, path: Path | None = None) -> tuple[NeuronList, str]:
    """Return a model's list and the SHA-256 of its file.

    Args:
        weights: of the model.
        path: the list; ``None`` takes the one in the cache, else the one that ships.

    Raises:
        WeightsError: the list cannot be read, is damaged, or belongs to another model.
        ModelError: no list is known.
    """
    place = path or _known_place(weights)
    try:
        content = place.read_bytes()
    except OSError as error:
        raise WeightsError(f"Cannot read the neuron list {place}: {error.strerror or error}.") from error
    found = _parse(content, str(place))
    _check_owner(found, weights, str(place))
    return found, hashlib.sha256(content).hexdigest()


def cache_path(weights: Weights) -> Path:
    """Return where ``lostreg registers find`` leaves the list of a file of weights."""
    return cache_dir() / "registers" / f"{weights.entry.name.replace('/', '_')}-{weights.sha256[:12]}.json"


def _known_place(weights: Weights) -> Path | Traversable:
    name = weights.entry.name
    shipped = resources.files("lostreg").joinpath("data", "registers", f"{name}.json")
    for place in (cache_path(weights), shipped):
        if place.is_file():
            return place
    raise ModelError(
        f"No list of register neurons is known for {name}; make one with "
        f"`lostreg registers find --model {name} IMAGES`."
    )


def _check_owner(found: NeuronList, weights: Weights, what: str) -> None:
    if found.model != weights.entry.name:
        raise WeightsError(
            f"{what} holds register neurons of {found.model}, not of {weights.entry.name}; "
            f"make one with `lostreg registers find --model {weights.entry.name} IMAGES`."
        )
    if found.weights_sha256 not in {None, weights.sha256}:
        raise WeightsError(
            f"{what} was made for weights of {found.model} with sha256 {str(found.weights_sha256)[:12]}…, but these "
            f"have {weights.sha256[:12]}…; make one for them with `lostreg registers find`."
        )


def _parse(text: bytes, where: str) -> NeuronList:
    try:
        values = json.loads(text)
        if values.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        neurons = tuple(_neuron(each) for each in values.pop("neurons"))
        return NeuronList(neurons=neurons, **values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{where} is not a list of register neurons as `lostreg registers find` writes it ({error})."
        ) from error


def _neuron(values: dict[str, Any]) -> Neuron:
    neuron = Neuron(**values)
    for number in (neuron.block, neuron.unit):
        if type(number) is not int or number < 0:
            raise ValueError(f"a neuron has {number!r} for its block or unit")
    return neuron
