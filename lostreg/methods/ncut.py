"""The two-way normalised cut of a patch graph, which TokenCut and MaskCut share.

Shi and Malik, "Normalized Cuts and Image Segmentation", TPAMI 2000: the second smallest generalised eigenvector of
``(D - W) y = lambda D y`` relaxes the partition that cuts least of what each side has. With ``y = D^-1/2 z`` this is
the second largest eigenvector ``z`` of the symmetric ``D^-1/2 W D^-1/2``.

An eigenvector has no sign, and patches with the same neighbours have the same entry. Both are settled here, so that
eigensolvers that round differently give the same answer: the sign makes the seed positive, and the seed is the first
patch in reading order whose entry is the largest in magnitude within rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch.nn.functional import normalize

EDGE_FLOOR = 1e-5
"""Weight between patches that are not similar, so that the graph stays connected (TokenCut, eq. 5)."""

_SAME_MAGNITUDE = 1 - 1e-6


def second_eigenvector(vectors: torch.Tensor, tau: float) -> NDArray[np.float64] | None:
    """Return ``y`` ``(n,)`` with a positive seed; ``None`` where every cut costs the same.

    The weights are 1 where the cosine exceeds ``tau`` and :data:`EDGE_FLOOR` elsewhere; a zero vector is similar to
    nothing. Every cut costs the same if all pairs are similar or none is, so with up to two patches always. The
    matrix and its eigenvector are computed densely on the CPU in ``float64``: memory grows with n squared, time
    with n cubed.

    Args:
        vectors: ``(n, D)``.
        tau: the least cosine of similar patches.
    """
    unit = normalize(vectors, dim=1)
    similar = (unit @ unit.T > tau).cpu().numpy()
    count = len(similar)
    links = int(similar.sum()) - int(similar.diagonal().sum())
    if links in (0, count * (count - 1)):
        return None
    weights = np.where(similar, 1.0, EDGE_FLOOR)
    root = np.sqrt(weights.sum(axis=1))
    _, second = eigh(weights / np.outer(root, root), subset_by_index=[count - 2, count - 2])
    y: NDArray[np.float64] = second[:, 0] / root
    return y if y[seed_of(y)] > 0 else -y


def seed_of(y: NDArray[np.float64]) -> int:
    """Return the first index whose entry is the largest in magnitude within rounding."""
    magnitudes = np.abs(y)
    return int(np.argmax(magnitudes >= _SAME_MAGNITUDE * magnitudes.max()))
