"""From grid to pixels and back: the one place that knows how patches lie on a photograph.

Three frames, each with the origin at its top left corner:

* *image*: pixels of the displayed photograph, ``image_wh``;
* *input*: pixels of the tensor the ViT sees, ``input_wh``, of which ``content_wh`` hold the
  (perhaps resized) photograph and the rest, right and bottom, is padding;
* *grid*: patches, ``grid_hw``, row-major.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """How the patch grid of one photograph lies on its pixels.

    Attributes:
        image_wh: width and height of the displayed photograph, in pixels.
        content_wh: width and height of the resized photograph inside the ViT's input.
        grid_hw: rows and columns of patches.
        patch_size: side of a patch, in input pixels.
        mirrored: whether the input shows the photograph with left and right swapped.
    """

    image_wh: tuple[int, int]
    content_wh: tuple[int, int]
    grid_hw: tuple[int, int]
    patch_size: int
    mirrored: bool = False

    @property
    def input_wh(self) -> tuple[int, int]:
        """Width and height of the ViT's input, padding included."""
        rows, columns = self.grid_hw
        return columns * self.patch_size, rows * self.patch_size

    def box_to_image(self, box_grid: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Map a box from the grid to the photograph.

        LOST's rule: patch indices times the patch size, clipped where the padding begins.

        Args:
            box_grid: ``(x0, y0, x1, y1)`` in patches, half-open.

        Returns:
            ``(x0, y0, x1, y1)`` in continuous image pixels, ``0 <= x0 < x1 <= width``.
        """
        x0, y0, x1, y1 = (edge * self.patch_size for edge in box_grid)
        (content_w, content_h), (image_w, image_h) = self.content_wh, self.image_wh
        scale_x, scale_y = image_w / content_w, image_h / content_h
        left, right = min(x0, content_w) * scale_x, min(x1, content_w) * scale_x
        if self.mirrored:
            left, right = image_w - right, image_w - left
        return left, min(y0, content_h) * scale_y, right, min(y1, content_h) * scale_y

    def box_from_image(self, box_xyxy: Sequence[float]) -> tuple[float, float, float, float]:
        """Map a box ``(x0, y0, x1, y1)`` in image pixels to the grid, in patches: undo :meth:`box_to_image`."""
        x0, y0, x1, y1 = box_xyxy
        if self.mirrored:
            x0, x1 = self.image_wh[0] - x1, self.image_wh[0] - x0
        scale_x, scale_y = (
            content / image / self.patch_size for content, image in zip(self.content_wh, self.image_wh, strict=True)
        )
        return x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y

    def patch_centre_to_image(self, row: int, column: int) -> tuple[float, float]:
        """Return ``(x, y)``, the centre of the visible part of a patch in image pixels."""
        x0, y0, x1, y1 = self.box_to_image((column, row, column + 1, row + 1))
        return (x0 + x1) / 2, (y0 + y1) / 2

    def mask_to_image(self, mask_grid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Enlarge a patch mask ``(h, w)`` to the photograph, ``(height, width)``, patch by patch."""
        return self.map_to_image(mask_grid.astype(np.uint8), smooth=False).astype(np.bool_)

    def map_to_image(self, values_grid: NDArray[np.generic], *, smooth: bool = True) -> NDArray[np.generic]:
        """Enlarge a patch map ``(h, w)`` to the photograph, ``(height, width)``.

        Args:
            values_grid: one value per patch, ``float32`` or ``uint8``.
            smooth: bilinear between patch centres; else every pixel takes its patch's value.
        """
        method = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST_EXACT
        on_input = cv2.resize(np.ascontiguousarray(values_grid), self.input_wh, interpolation=method)
        content_w, content_h = self.content_wh
        on_content = on_input[:content_h, :content_w]
        if self.mirrored:
            on_content = on_content[:, ::-1]
        if self.content_wh == self.image_wh:
            return np.ascontiguousarray(on_content)
        return np.asarray(cv2.resize(on_content, self.image_wh, interpolation=method))


def carry_boxes(boxes: NDArray[np.float64], source: Frame, target: Frame) -> NDArray[np.float64]:
    """Map boxes ``(n, 4)`` in patches from one grid of a photograph to another of its grids."""
    if source == target or not len(boxes):
        return boxes
    x0, y0, x1, y1 = boxes.T
    carried = [target.box_from_image(source.box_to_image(box)) for box in zip(x0, y0, x1, y1, strict=True)]
    return np.array(carried, dtype=np.float64)


def carry_mask(mask: NDArray[np.bool_], source: Frame, target: Frame) -> NDArray[np.bool_]:
    """Map a mask ``(h, w)`` from one grid of a photograph to another: each patch takes what lies beneath its centre."""
    if source == target:
        return mask
    rows, columns = target.grid_hw
    beneath = [source.box_from_image(2 * target.patch_centre_to_image(row, 0)) for row in range(rows)]
    beside = [source.box_from_image(2 * target.patch_centre_to_image(0, column)) for column in range(columns)]
    ys = np.array([y for _, y, _, _ in beneath]).astype(np.intp)
    xs = np.array([x for x, _, _, _ in beside]).astype(np.intp)
    return np.asarray(mask[np.ix_(ys, xs)])
