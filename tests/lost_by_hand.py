"""LOST written out literally from the paper and its published procedure: slow, no shared code with lostreg."""

from __future__ import annotations

import numpy as np


def lost_by_hand(features, grid_hw, k_patches=100, offset=("none", 0.0)):
    """Return (box in patches, seed index, mask) of LOST on features (N, D), with the whole matrix in memory."""
    features = np.asarray(features, dtype=np.float64)
    count = len(features)
    kind, value = offset
    if kind == "mean":
        features = features - features.mean(axis=0)
    similarity = np.zeros((count, count))
    for i in range(count):
        for_row = features[i]
        similarity[i] = (features * for_row).sum(axis=1)
    if kind == "scalar":
        similarity = similarity - value
    degrees = []
    for i in range(count):
        others = np.delete(similarity[i], i)
        degrees.append(int((others > 0).sum()))
    order = sorted(range(count), key=lambda i: (degrees[i], i))
    seed = order[0]
    similar = [i for i in order[:k_patches] if i == seed or similarity[seed, i] > 0]
    correlation = similarity[similar].sum(axis=0)
    rows, columns = grid_hw
    mask = (correlation > 0).reshape(rows, columns)
    mask[seed // columns, seed % columns] = True
    component = flood(mask, seed // columns, seed % columns)
    ys = [y for y, x in component]
    xs = [x for y, x in component]
    return (min(xs), min(ys), max(xs) + 1, max(ys) + 1), seed, component


def flood(mask, row, column):
    """Return the set of (row, column) that 4-connected steps reach from one patch of a mask."""
    reached, waiting = set(), [(row, column)]
    while waiting:
        y, x = waiting.pop()
        inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        if not inside or (y, x) in reached or not mask[y, x]:
            continue
        reached.add((y, x))
        waiting += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return reached
