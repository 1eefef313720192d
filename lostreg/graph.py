"""The patch similarity graph of one image, in memory that grows with N and not with its square.

The similarity of patches i and j is ``A_ij = f_i . f_j - t``: raw dot products, kept signed, minus an
offset. The N x N matrix is never kept. Degrees are counted strip by strip over its lower half, and a row sum over
a set S is one matrix-vector product, since ``sum_{i in S} A_ij = f_j . (sum_{i in S} f_i) - t |S|``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lostreg.settings import Offset

_STRIP_ROWS = (128, 512)
"""Least and most rows of a strip: enough for an efficient product, few enough for O(N) memory."""
_STRIPS = 16
_QUANTILE_ROWS = 1024


@dataclass(frozen=True)
class SimilarityGraph:
    """Patch features and the threshold that together define ``A_ij = vectors_i . vectors_j - threshold``.

    Attributes:
        vectors: ``(N, D)`` ``float32``.
        threshold: the scalar ``t``.
    """

    vectors: torch.Tensor
    threshold: float = 0.0

    @classmethod
    def build(cls, vectors: torch.Tensor, offset: Offset) -> SimilarityGraph:
        """Apply an offset to patch features ``(N, D)``."""
        match offset.kind:
            case "none":
                return cls(vectors)
            case "mean":
                return cls(vectors - vectors.mean(dim=0))
            case "scalar":
                return cls(vectors, offset.value)
            case "quantile":
                return cls(vectors, off_diagonal_quantile(vectors, offset.value))

    def degrees(self) -> torch.Tensor:
        """Count each patch's similar patches: ``d_i = #{j != i : A_ij > 0}``, ``(N,)`` ``int64``.

        LOST eq. 2, with the strict inequality of the released procedure. A pair counts for both of its patches, so
        rounding cannot make i similar to j but not j to i. Sums of at most 2^24 ones are exact in ``float32``.
        """
        count = len(self.vectors)
        degrees = self.vectors.new_zeros(count, dtype=torch.int64)
        for start, stop in strips(count):
            similar = (self.vectors[start:] @ self.vectors[start:stop].T).gt_(self.threshold).fill_diagonal_(0)
            degrees[start:] += similar.sum(dim=1).long()
            degrees[start:stop] += similar[stop - start :].sum(dim=0).long()
        return degrees

    def row(self, index: int) -> torch.Tensor:
        """Return the similarities of one patch to all, ``(N,)``."""
        return self.vectors @ self.vectors[index] - self.threshold

    def summed_rows(self, members: torch.Tensor) -> torch.Tensor:
        """Return ``sum_{i in members} A_ij`` for every patch j, ``(N,)``; ``members`` holds indices."""
        return self.vectors @ self.vectors[members].sum(dim=0) - self.threshold * len(members)


def strips(count: int) -> Iterator[tuple[int, int]]:
    """Yield where each strip of a symmetric matrix of ``count`` rows lies, ``(start, stop)``: its rows or its columns.

    A strip spans the other side from ``start`` on, so each pair is met once and half of the products are saved.
    """
    least, most = _STRIP_ROWS
    rows = min(max(least, count // _STRIPS), most)
    for start in range(0, count, rows):
        yield start, min(start + rows, count)


def off_diagonal_quantile(vectors: torch.Tensor, quantile: float) -> float:
    """Return a quantile of the similarities between different patches.

    Exact up to 1,024 patches; beyond, taken over 1,024 evenly spaced rows of the matrix.

    Args:
        vectors: ``(N, D)``.
        quantile: in [0, 1]; the lower of two neighbouring values is taken.
    """
    count = len(vectors)
    if count < 2:
        return 0.0
    rows = torch.linspace(0, count - 1, min(count, _QUANTILE_ROWS), device=vectors.device).round().long()
    block = vectors[rows] @ vectors.T
    others = torch.ones_like(block, dtype=torch.bool)
    others[torch.arange(len(rows), device=vectors.device), rows] = False
    values = block[others]
    rank = 1 + int(quantile * (values.numel() - 1))
    return float(values.kthvalue(rank).values)
