"""Similarity to neighbours against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lostreg.registers.tokens import neighbour_cosine


@pytest.mark.parametrize("grid", [(1, 2), (3, 4), (5, 1)])
def test_every_neighbour_counts_once(grid):
    rows, columns = grid
    embedded = torch.randn(rows, columns, 6, generator=torch.Generator().manual_seed(0))
    found = neighbour_cosine(embedded)
    values = embedded.numpy().astype(np.float64)
    for y in range(rows):
        for x in range(columns):
            near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            cosines = [
                values[y, x] @ values[each] / np.linalg.norm(values[y, x]) / np.linalg.norm(values[each])
                for each in near
                if 0 <= each[0] < rows and 0 <= each[1] < columns
            ]
            assert float(found[y, x]) == pytest.approx(np.mean(cosines), abs=1e-6)


def test_a_patch_without_neighbours_has_none():
    assert neighbour_cosine(torch.ones(1, 1, 3)).tolist() == [[0.0]]
