"""What was found on one photograph: the methods' proposals, carried from the patch grid to pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lostreg.geometry import Frame
from lostreg.objects import ScoredProposal
from lostreg.regions import Map, bounding_box
from lostreg.settings import MethodSettings


@dataclass(frozen=True)
class Discovery:
    """What was found on one photograph. Coordinates are those of the displayed picture.

    Attributes:
        boxes_xyxy: ``(n, 4)`` ``float64``, continuous pixels, ``0 <= x0 < x1 <= width``. The extents of the masks,
            except where the method makes its box otherwise (head-consensus).
        masks: ``(n, height, width)`` ``bool``.
        scores: ``(n,)`` ``float64`` in [0, 1]: how clearly each object stands out.
        seeds_xy: ``(x, y)`` of the patch each object grew from, or ``None`` where the method has no seed.
        maps: named ``(h, w)`` ``float32`` maps on the patch grid that explain the first object.
        frame: how the patch grid lies on the photograph.
        settings: how it was found.
    """

    boxes_xyxy: NDArray[np.float64]
    masks: NDArray[np.bool_]
    scores: NDArray[np.float64]
    seeds_xy: list[tuple[float, float] | None]
    maps: dict[str, Map]
    frame: Frame
    settings: MethodSettings

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.scores)


def on_photograph(found: list[ScoredProposal], frame: Frame, settings: MethodSettings) -> Discovery:
    """Carry proposals from the patch grid to the photograph."""
    width, height = frame.image_wh
    boxes = [frame.box_to_image(each.proposal.box_grid or bounding_box(each.proposal.region)) for each in found]
    masks = [frame.mask_to_image(each.proposal.region) for each in found]
    seeds = [each.proposal.seed_rc for each in found]
    return Discovery(
        boxes_xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        masks=np.stack(masks) if masks else np.zeros((0, height, width), dtype=np.bool_),
        scores=np.array([each.score for each in found], dtype=np.float64),
        seeds_xy=[None if seed is None else frame.patch_centre_to_image(*seed) for seed in seeds],
        maps=found[0].proposal.maps if found else {},
        frame=frame,
        settings=settings,
    )
