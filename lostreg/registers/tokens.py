"""What is measured of tokens: how much a patch looks like its neighbours, and how long tokens are."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def neighbour_cosine(embedded: torch.Tensor) -> torch.Tensor:
    """Return each patch's mean cosine similarity to its two to four neighbours, ``(h, w)``.

    Right behind the patch embedding it tells how redundant a patch is: outliers sit where it is high
    (arXiv 2309.16588, Fig. 5a).

    Args:
        embedded: ``(h, w, D)``, the patch embedding before position is added.
    """
    unit = F.normalize(embedded.float(), dim=-1)
    below = (unit[1:] * unit[:-1]).sum(dim=-1)
    right = (unit[:, 1:] * unit[:, :-1]).sum(dim=-1)
    total = torch.zeros(unit.shape[:2], device=unit.device)
    count = torch.zeros_like(total)
    for part, values in ((slice(1, None), below), (slice(None, -1), below)):
        total[part] += values
        count[part] += 1
    for part, values in ((slice(1, None), right), (slice(None, -1), right)):
        total[:, part] += values
        count[:, part] += 1
    return total / count.clamp(min=1)
