"""Which tokens are outliers: the literature's three rules, and the one that lostreg goes by.

All are thresholds on the L2 norm of patch tokens before the final LayerNorm. Two of the published rules name outliers
in any model: some tokens always lie above the 98th percentile, and some above mean + 3 std. Where outliers are many
they also raise the standard deviation, so that the shorter ones of them slip below. To say *that* a model has outliers,
and which, they have to stand apart: a patch counts as one here if its norm exceeds :data:`STANDS_OUT` times the median.
On DINOv2 ViT-S/14, which has none, the longest tokens reach about 2 times the median at the second to last block; the
outliers of the papers are 3 times as long as other tokens or more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Norms = NDArray[np.float32]

ABSOLUTE = 150.0
PERCENTILE = 98.0
STANDS_OUT = 2.5


@dataclass(frozen=True)
class Threshold:
    """A norm above which a token counts as an outlier.

    Attributes:
        rule: for people.
        source: the paper, or what gave the value.
        value: the norm.
    """

    rule: str
    source: str
    value: float

    def __str__(self) -> str:
        """Return rule and value."""
        return f"{self.rule} ({self.value:.1f})"


def published_thresholds(norms: Norms) -> list[Threshold]:
    """Return the thresholds of the literature for the norms of one block, any shape."""
    return [
        Threshold("norm above 150", "Darcet et al., arXiv 2309.16588, chosen by hand for DINOv2 ViT-g", ABSOLUTE),
        Threshold("mean + 3 std", "Jiang et al., arXiv 2506.08010, App. A.4", _mean_and_3_std(norms)),
        Threshold(
            "98th percentile of the model",
            "Baxevanakis et al., arXiv 2603.25803",
            float(np.percentile(norms, PERCENTILE)),
        ),
    ]


def outlier_threshold(norms: Norms, absolute: float | None = None) -> Threshold:
    """Return the threshold that says whether there are outliers.

    Args:
        norms: of patch tokens behind one block, any shape, over all pictures.
        absolute: a norm chosen by hand.
    """
    if absolute is not None:
        return Threshold(f"norm above {absolute:g}", "chosen by hand", absolute)
    return Threshold(f"above {STANDS_OUT:g} times the median", "lostreg", STANDS_OUT * float(np.median(norms)))


def appearing_block(norms: list[Norms], outliers: list[NDArray[np.bool_]]) -> int | None:
    """Return the first block behind which at least half of the outliers stand out already.

    Args:
        norms: ``(depth, N)`` of every picture.
        outliers: ``(N,)`` of every picture, as found at the reference layer.

    Returns:
        The block from 0, or ``None`` where there is no outlier.
    """
    if not any(each.any() for each in outliers):
        return None
    chosen = np.concatenate(outliers)
    for block in range(len(norms[0])):
        behind = np.concatenate([each[block] for each in norms])
        if (behind[chosen] > outlier_threshold(behind).value).mean() >= 0.5:
            return block
    return None


def border(grid_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which patches lie at the border of the grid, ``(N,)``."""
    edge = np.ones(grid_hw, np.bool_)
    edge[1:-1, 1:-1] = False
    return edge.ravel()


def _mean_and_3_std(norms: Norms) -> float:
    wide = norms.astype(np.float64)
    return float(wide.mean() + 3 * wide.std())
