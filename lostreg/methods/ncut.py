"""The two-way normalised cut of a patch graph, which TokenCut and MaskCut share.

Shi and Malik, "Normalized Cuts and Image Segmentation", TPAMI 2000: the second smallest generalised eigenvector of
``(D - W) y = lambda D y`` relaxes the partition that cuts least of what each side has. With ``y = D^-1/2 z`` this is
the second largest eigenvector ``z`` of the symmetric ``S = D^-1/2 W D^-1/2``, whose largest is known: ``D^1/2 1``,
with eigenvalue 1. Lanczos in the space at right angles to it finds the largest of the rest in some ten products with W.

Of ``W = (1 - floor) B + floor 1 1^T`` only products with the 0/1 matrix B cost anything. B is kept in memory up to
4,096 patches; beyond, strips of its upper half are computed anew for each product, so memory grows with N and not with
its square.

An eigenvector has no sign, and patches with the same neighbours have the same entry. Both are settled here, so that
eigensolvers that round differently give the same answer: the sign makes the seed positive, and the seed is the first
patch in reading order whose entry is the largest in magnitude within rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh, eigh_tridiagonal
from torch.nn.functional import normalize

from lostreg.errors import FeatureError
from lostreg.graph import strips

EDGE_FLOOR = 1e-5
"""Weight between patches that are not similar, so that the graph stays connected (TokenCut, eq. 5)."""

KEPT_UP_TO = 4096
"""Patches up to which B stays in memory: 8 bytes per pair of patches, 134 MB at most."""

_DENSE_UP_TO = 128
"""Patches up to which a dense eigensolver is no slower."""

_MOST_STEPS = 300
_TOLERANCE = 1e-8
_SAME_MAGNITUDE = 1 - 1e-6


class SimilarPairs:
    """The symmetric matrix B: ``B_ij = 1`` where the cosine of patches i and j exceeds ``tau``, else 0.

    Args:
        vectors: ``(n, D)``; a zero vector is similar to nothing, itself included.
        tau: the least cosine of similar patches.
    """

    def __init__(self, vectors: torch.Tensor, tau: float) -> None:
        """Compute B, or leave it for later if it is too large to be kept."""
        self._unit = normalize(vectors, dim=1)
        self._tau = tau
        self.count = len(vectors)
        self._kept = self._whole() if self.count <= KEPT_UP_TO else None

    def __matmul__(self, right: torch.Tensor) -> torch.Tensor:
        """Return B times ``(n,)`` or ``(n, m)``, ``float64`` on the CPU."""
        if self._kept is not None:
            return self._kept @ right
        product = torch.zeros_like(right)
        for start, stop, strip in self._computed():
            upper = strip.double()
            product[start:stop] += upper @ right[start:]
            product[stop:] += upper[:, stop - start :].T @ right[start:stop]
        return product

    def links(self, sums: torch.Tensor) -> int:
        """Count ordered pairs of different similar patches, given B's row sums."""
        return int(sums.sum()) - int((self._unit.square().sum(dim=1) > self._tau).sum())

    def _whole(self) -> torch.Tensor:
        similar = torch.empty(self.count, self.count, dtype=torch.float64)
        for start, stop, strip in self._computed():
            similar[start:stop, start:] = strip
            similar[stop:, start:stop] = strip[:, stop - start :].T
        return similar

    def _computed(self) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Yield rows ``start`` to ``stop`` of B from column ``start`` on, ``bool``, and where they lie."""
        for start, stop in strips(self.count):
            yield start, stop, (self._unit[start:stop] @ self._unit[start:].T > self._tau).cpu()


def second_eigenvector(vectors: torch.Tensor, tau: float) -> NDArray[np.float64] | None:
    """Return ``y`` ``(n,)`` with a positive seed; ``None`` where every cut costs the same.

    The weights are 1 where the cosine exceeds ``tau`` and :data:`EDGE_FLOOR` elsewhere. Every cut costs the same if
    all pairs are similar or none is, so with up to two patches always. The eigenvector is computed in ``float64`` on
    the CPU.

    Args:
        vectors: ``(n, D)``.
        tau: the least cosine of similar patches.

    Raises:
        FeatureError: the graph is too large for a dense solver and Lanczos does not converge.
    """
    return eigenvector_of(SimilarPairs(vectors, tau))


def eigenvector_of(pairs: SimilarPairs) -> NDArray[np.float64] | None:
    """Return the same, given the graph."""
    count = pairs.count
    sums = pairs @ torch.ones(count, dtype=torch.float64)
    if pairs.links(sums) in (0, count * (count - 1)):
        return None
    root = ((1 - EDGE_FLOOR) * sums.numpy() + EDGE_FLOOR * count) ** 0.5
    second = _dense(pairs, root) if count <= _DENSE_UP_TO else _lanczos(pairs, root)
    y = second / root
    return y if y[seed_of(y)] > 0 else -y


def seed_of(y: NDArray[np.float64]) -> int:
    """Return the first index whose entry is the largest in magnitude within rounding."""
    magnitudes = np.abs(y)
    return int(np.argmax(magnitudes >= _SAME_MAGNITUDE * magnitudes.max()))


def _lanczos(pairs: SimilarPairs, root: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the second largest eigenvector of ``S``, ``(n,)``: Lanczos, every vector kept at right angles to all.

    The start is a product with ``S``, so patches with the same neighbours have the same entry in every vector.
    """
    first = root / np.linalg.norm(root)
    basis = np.empty((min(_MOST_STEPS, pairs.count - 1), pairs.count))
    diagonal: list[float] = []
    beside: list[float] = []
    rest = _times(pairs, root, np.random.default_rng(0).standard_normal(pairs.count))
    rest -= first * (first @ rest)
    for step in range(len(basis)):
        basis[step] = rest / np.linalg.norm(rest)
        rest = _times(pairs, root, basis[step])
        diagonal.append(float(basis[step] @ rest))
        rest -= first * (first @ rest)
        known = basis[: step + 1]
        for _ in range(2):  # once leaves what rounding puts back
            rest -= (known @ rest) @ known
        beside.append(float(np.linalg.norm(rest)))
        values, vectors = eigh_tridiagonal(diagonal, beside[:-1])
        if beside[-1] * abs(vectors[-1, -1]) <= _TOLERANCE * abs(values[-1]):
            return np.asarray(vectors[:, -1] @ known)
    if pairs.count <= KEPT_UP_TO:
        return _dense(pairs, root)
    raise FeatureError(
        f"The normalised cut of {pairs.count} patches has no single best answer that Lanczos finds in "
        f"{_MOST_STEPS} steps; use a smaller --max-side or --method lost."
    )


def _times(pairs: SimilarPairs, root: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``S z``."""
    scaled = z / root
    product = (1 - EDGE_FLOOR) * (pairs @ torch.from_numpy(scaled)).numpy() + EDGE_FLOOR * scaled.sum()
    return np.asarray(product / root)


def _dense(pairs: SimilarPairs, root: NDArray[np.float64]) -> NDArray[np.float64]:
    similar = (pairs @ torch.eye(pairs.count, dtype=torch.float64)).numpy()
    weights = (1 - EDGE_FLOOR) * similar + EDGE_FLOOR
    _, vectors = eigh(weights / np.outer(root, root), subset_by_index=[pairs.count - 2, pairs.count - 2])
    return np.asarray(vectors[:, 0])
