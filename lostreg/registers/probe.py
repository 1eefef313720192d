"""Linear probes: how much tokens know about where they are and what they show (arXiv 2309.16588, sec. 2, Fig. 5b).

One ridge regression per question is fitted on all patch tokens of every other picture, and judged on the pictures
between, on normal tokens and on outliers apart: on the position of the patch in the grid, and on its pixels. Nothing
is stored but the normal equations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lostreg.errors import UsageError

_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Sample:
    """The patches of one picture.

    Attributes:
        tokens: ``(N, D)`` ``float32``: output tokens of the model.
        inputs: ``(3, H, W)``: what the model saw.
        grid_hw: rows and columns of patches.
    """

    tokens: torch.Tensor
    inputs: torch.Tensor
    grid_hw: tuple[int, int]


@dataclass(frozen=True)
class Judged:
    """How the probes do on one kind of tokens of the held-out pictures.

    Attributes:
        tokens: how many there are.
        position_hits: percent whose nearest patch to the predicted position is the right one.
        position_distance: mean distance of the predicted position, in patches.
        pixel_error: mean L2 error of the predicted pixels of a patch, in normalised values.
    """

    tokens: int
    position_hits: float | None
    position_distance: float | None
    pixel_error: float | None


@dataclass(frozen=True)
class Probed:
    """What the probes say."""

    pictures_fitted: int
    pictures_judged: int
    normal: Judged
    outliers: Judged


def probe_tokens(load: Callable[[int], Sample], outliers: Sequence[NDArray[np.bool_]]) -> Probed:
    """Fit the probes on pictures 0, 2, 4, … and judge them on 1, 3, 5, ….

    Args:
        load: gives a picture by number.
        outliers: ``(N,)`` of every picture.

    Raises:
        UsageError: there are fewer than two pictures.
    """
    if len(outliers) < 2:
        raise UsageError(
            f"--probe needs at least 2 pictures, one to fit and one to judge, but there is {len(outliers)}."
        )
    fitted, judged = range(0, len(outliers), 2), range(1, len(outliers), 2)
    weights = _fit(load(index) for index in fitted)
    errors: dict[bool, list[torch.Tensor]] = {False: [], True: []}
    for index in judged:
        measured = _errors(load(index), weights)
        for kind, each in errors.items():
            each.append(measured[torch.from_numpy(outliers[index] == kind)])
    return Probed(len(fitted), len(judged), _judge(errors[False]), _judge(errors[True]))


def _fit(samples: Iterable[Sample]) -> torch.Tensor:
    """Solve the ridge regression from tokens and a constant to position and pixels, ``(D + 1, 2 + 3 p p)``."""
    gram = moment = torch.zeros(1)
    for sample in samples:
        known = _with_constant(sample.tokens)
        gram = gram + known.T @ known
        moment = moment + known.T @ torch.cat([_positions(sample), _pixels(sample)], dim=1).double()
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    ridge[-1, -1] = 0
    solved: torch.Tensor = torch.linalg.solve(gram + ridge, moment)
    return solved


def _errors(sample: Sample, weights: torch.Tensor) -> torch.Tensor:
    """Return hit, distance and pixel error of every token, ``(N, 3)``."""
    predicted = _with_constant(sample.tokens) @ weights
    sides = torch.tensor(sample.grid_hw, dtype=torch.float64)
    apart = (predicted[:, :2] - _positions(sample)) * sides
    hit = (apart.abs() <= 0.5).all(dim=1).double()
    pixels = (predicted[:, 2:] - _pixels(sample)).norm(dim=1)
    return torch.stack([hit, apart.norm(dim=1), pixels], dim=1)


def _judge(errors: Sequence[torch.Tensor]) -> Judged:
    together = torch.cat(list(errors))
    if not len(together):
        return Judged(0, None, None, None)
    hits, distance, pixels = together.mean(dim=0).tolist()
    return Judged(len(together), 100 * hits, distance, pixels)


def _with_constant(tokens: torch.Tensor) -> torch.Tensor:
    return F.pad(tokens.double(), (0, 1), value=1.0)


def _positions(sample: Sample) -> torch.Tensor:
    """Return the centre of every patch as a share of the grid's height and width, ``(N, 2)``."""
    rows, columns = sample.grid_hw
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([(y.flatten() + 0.5) / rows, (x.flatten() + 0.5) / columns], dim=1).double()


def _pixels(sample: Sample) -> torch.Tensor:
    """Return the values of every patch, ``(N, 3 p p)``."""
    side = sample.inputs.shape[1] // sample.grid_hw[0]
    return F.unfold(sample.inputs[None], side, stride=side)[0].T.double()
