"""What every discovery method takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from lostreg.features import Features
from lostreg.regions import Map, Mask
from lostreg.settings import MethodSettings, Part


@dataclass(frozen=True)
class Proposal:
    """One object as a method sees it, on the patch grid.

    Attributes:
        region: ``(h, w)`` ``bool``, the object's patches, at least one.
        scores: ``(h, w)`` ``float32``, larger on the object; the evidence the region was cut from.
        seed_rc: row and column of the patch it grew from, or ``None`` for methods without a seed.
        maps: named ``(h, w)`` ``float32`` maps that explain the answer.
        box_grid: ``(x0, y0, x1, y1)`` in continuous patch coordinates, inside the grid, where the method's box
            is not the extent of ``region``; ``None`` where it is.
    """

    region: Mask
    scores: Map
    seed_rc: tuple[int, int] | None = None
    maps: dict[str, Map] = field(default_factory=dict)
    box_grid: tuple[float, float, float, float] | None = None


Propose = Callable[[Features, MethodSettings, Mask], Proposal | None]
"""``propose(features, settings, free)``: one object among the ``free`` patches ``(h, w)``, or ``None``."""


@dataclass(frozen=True)
class Method:
    """A discovery method: what it needs of the ViT, and the pure function that proposes an object.

    Attributes:
        name: as typed.
        summary: for people.
        propose: finds one object.
        needs: the parts of a forward that it reads.
        reads: the fields of :class:`~lostreg.settings.MethodSettings` that change its answer, of those that not
            every method obeys; all others have no effect on it.
    """

    name: str
    summary: str
    propose: Propose
    needs: Callable[[MethodSettings], frozenset[Part]]
    reads: frozenset[str] = frozenset()


def on_grid(values: torch.Tensor, free: Mask, fill: float = 0.0) -> Map:
    """Lay one value per free patch ``(n,)`` back on the grid ``(h, w)``, ``fill`` elsewhere."""
    grid = np.full(free.shape, fill, dtype=np.float32)
    grid[free] = values.detach().to(torch.float32).cpu().numpy()
    return grid


def free_rows(values: torch.Tensor, free: Mask) -> torch.Tensor:
    """Keep the rows ``(N, ...)`` of the free patches."""
    if free.all():
        return values
    indices: NDArray[np.intp] = np.flatnonzero(free)
    return values[torch.from_numpy(indices).to(values.device)]


def nth_free(free: Mask, index: int) -> tuple[int, int]:
    """Return row and column of the free patch that stands at ``index`` among the free ones, in reading order."""
    rows, columns = free.nonzero()
    return int(rows[index]), int(columns[index])
