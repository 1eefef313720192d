"""From score maps to components and boxes, written out with loops: slow, no shared code with lostreg."""

from __future__ import annotations

from lost_by_hand import flood


def components(mask):
    """Return the 4-connected components of a mask, as sets of (row, column), in reading order."""
    found = []
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            if mask[row, column] and not any((row, column) in each for each in found):
                found.append(flood(mask, row, column))
    return found


def heaviest(scores, level=0.0):
    """Return the component of ``scores > level`` with most mass above the level, of equals the first."""
    best, most = set(), 0.0
    for component in components(scores > level):
        mass = sum(float(scores[patch]) - level for patch in sorted(component))
        if mass > most:
            best, most = component, mass
    return best


def is_close_call(scores, level=0.0, within=1e-4):
    """Tell whether rounding could change :func:`heaviest`: a patch at the level, or two components alike."""
    scale = abs(scores).max()
    masses = sorted(sum(float(scores[patch]) - level for patch in each) for each in components(scores > level))
    return bool(
        (abs(scores - level) < within * scale).any()
        or (len(masses) > 1 and masses[-1] - masses[-2] < within * scale * scores.size)
    )


def extent(component):
    """Return the half-open box (x0, y0, x1, y1) of a component."""
    ys = [y for y, x in component]
    xs = [x for y, x in component]
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def iou(first, second):
    """Return the intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared / (area - shared)


def patches(region):
    """Return a mask as a set of (row, column)."""
    return {(int(row), int(column)) for row, column in zip(*region.nonzero(), strict=True)}
