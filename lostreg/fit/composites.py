"""Copy and paste: pictures with touching objects whose boxes are known, made of unlabelled photographs.

As Dwibedi et al. ("Cut, Paste and Learn", arXiv 1708.01642) do with known masks, here with those of the logistic
head. A lone, compact object is cut out of one photograph by its soft mask and put beside, over or behind the main
object of another. The ViT then runs on the composite, so its tokens know the seam: boxes of neighbours that merge are
what training-free methods fail at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lostreg.fit.cache import Picture
from lostreg.regions import Map, Mask, bounding_box, heaviest_component

ATTEMPTS = 40
"""Random arrangements that are tried for one composite."""

TWO_PASTES = 0.3
SAME_PICTURE, LIKE_PICTURE = 0.3, 0.4
"""Shares of composites whose object comes from the same picture, mirrored, and from one of the most similar ones."""

SIMILAR = 25
SIDEWAYS = 0.8
BEHIND = 0.4
SCALES, SAME_SCALES = (0.5, 1.6), (0.7, 1.3)
OVERLAPS = (-0.1, 0.4)
VISIBLE_SIDE = 0.7
VISIBLE_MAIN = 0.5
SMALLEST = 0.01
"""Of the picture; smaller visible objects are not kept."""

_MIN_PIXELS = 400
_LARGEST_SIDE = 0.95
_LARGEST_SCALE = 2.5

Rgb = NDArray[np.uint8]
Alpha = NDArray[np.float32]


@dataclass(frozen=True)
class Composite:
    """A made picture.

    Attributes:
        rgb: ``(height, width, 3)`` ``uint8``.
        owner: ``(h, w)`` ``int64``, the object on most of each patch, from 1; 0 for none.
        boxes: ``(k, 4)``, in patches, of what is visible.
    """

    rgb: Rgb
    owner: NDArray[np.int64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A composite in the making: pixels, and the number of the object on each."""

    canvas: NDArray[np.float32]
    objects: NDArray[np.int64]


class Composer:
    """Makes composites of photographs.

    Attributes:
        sources: indices of the pictures with a lone, compact object.
        targets: indices of the pictures with an object that leaves room.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        logits: Sequence[Map],
        descriptors: NDArray[np.float32],
        read_rgb: Callable[[str], Rgb],
    ) -> None:
        """Choose sources and targets.

        Args:
            pictures: the photographs.
            logits: ``(h, w)`` each, of the logistic head.
            descriptors: ``(n, D)``, unit vectors; similar pictures have similar ones.
            read_rgb: returns the pixels of a picture by its key.
        """
        self._pictures, self._logits, self._read_rgb = pictures, logits, read_rgb
        self._main = [heaviest_component(logit) for logit in logits]
        self.sources = [i for i, main in enumerate(self._main) if _is_lone_and_compact(main)]
        self.targets = [i for i, main in enumerate(self._main) if 0.02 < main.mean() < 0.45]
        self._is_source = frozenset(self.sources)
        self._descriptors = descriptors

    def make(self, seed: Sequence[int]) -> Composite | None:
        """Return a composite, the same for the same seed; ``None`` if no arrangement fits or nothing can be cut."""
        if not self.sources:
            return None
        for attempt in range(ATTEMPTS):
            made = self._arrange(np.random.default_rng([*seed, attempt]))
            if made is not None:
                return made
        return None

    def _arrange(self, generator: np.random.Generator) -> Composite | None:
        target = int(generator.choice(self.targets))
        kind = float(generator.random())
        picture = self._pictures[target]
        rgb, alpha = self._read_rgb(picture.key), self._alpha(target)
        main = alpha > 0.5
        if main.sum() < _MIN_PIXELS:
            return None
        scene = Scene(rgb.astype(np.float32), main.astype(np.int64))
        pastes = 2 if generator.random() < TWO_PASTES else 1
        for number in range(2, 2 + pastes):
            source = self._source(target, kind, generator)
            cut = self._cut(source, mirrored=source == target or generator.random() < 0.5)
            scaled = _scaled(cut, int(main.sum()), SAME_SCALES if source == target else SCALES, generator)
            behind = alpha if number == 2 and generator.random() < BEHIND else None
            pasted = None if scaled is None else _paste(scene, scaled, number, behind, generator)
            if pasted is None:
                return None
            scene = pasted
        return _finished(scene, int(main.sum()), 1 + pastes, picture)

    def _source(self, target: int, kind: float, generator: np.random.Generator) -> int:
        """Choose whose object is pasted: the target's own, that of a similar picture, or any."""
        if kind < SAME_PICTURE and target in self._is_source:
            return target
        near: list[int] = []
        if kind < SAME_PICTURE + LIKE_PICTURE:
            likeness = self._descriptors @ self._descriptors[target]
            likeness[target] = -np.inf
            near = [int(i) for i in np.argsort(-likeness, kind="stable")[:SIMILAR] if i in self._is_source]
        return int(generator.choice(near or self.sources))

    def _alpha(self, index: int) -> Alpha:
        """Return the soft mask ``(height, width)`` in [0, 1] of a picture's main object."""
        logit = self._logits[index].copy()
        logit[~ndimage.binary_dilation(self._main[index])] = -4
        frame = self._pictures[index].frame
        enlarged = Image.fromarray(logit.clip(-4, 4)).resize(frame.input_wh, Image.Resampling.BICUBIC)
        width, height = frame.content_wh
        return np.clip(np.asarray(enlarged)[:height, :width] * 0.8 + 0.5, 0, 1)

    def _cut(self, index: int, *, mirrored: bool) -> tuple[Rgb, Alpha]:
        """Cut a picture's main object out: its pixels and soft mask, up to the mask's extent."""
        alpha = self._alpha(index)
        x0, y0, x1, y1 = bounding_box(alpha > 0.5)
        rgb, alpha = self._read_rgb(self._pictures[index].key)[y0:y1, x0:x1], alpha[y0:y1, x0:x1]
        return (rgb[:, ::-1], alpha[:, ::-1]) if mirrored else (rgb, alpha)


def _is_lone_and_compact(main: Mask) -> bool:
    """Tell whether an object fills more than half of its box, 3 to 40 % of the picture, and is off its border."""
    if not main.any() or not 0.03 < main.mean() < 0.4:
        return False
    x0, y0, x1, y1 = bounding_box(main)
    rows, columns = main.shape
    # the last row and column may be padding
    inside = x0 > 0 and y0 > 0 and x1 < columns - 1 and y1 < rows - 1
    return bool(main[y0:y1, x0:x1].mean() > 0.5) and inside


def _scaled(
    cut: tuple[Rgb, Alpha], pixels: int, scales: tuple[float, float], generator: np.random.Generator
) -> tuple[Rgb, Alpha] | None:
    """Scale an object to ``pixels`` times a random factor squared; ``None`` if that magnifies it too much."""
    rgb, alpha = cut
    factor = float(np.exp(generator.uniform(*np.log(scales))))
    scale = factor * float(np.sqrt(pixels / (alpha > 0.5).sum()))
    if scale > _LARGEST_SCALE:
        return None
    height, width = (max(8, int(side * scale)) for side in alpha.shape)
    wide = Image.fromarray(np.ascontiguousarray(rgb)).resize((width, height), Image.Resampling.BICUBIC)
    soft = Image.fromarray(np.ascontiguousarray(alpha)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(wide), np.asarray(soft)


def _paste(
    scene: Scene, cut: tuple[Rgb, Alpha], number: int, behind: Alpha | None, generator: np.random.Generator
) -> Scene | None:
    """Put an object beside, above or below one that is there; ``None`` if too little of it would be visible."""
    rgb, alpha = cut
    (height, width), (tall, wide) = scene.objects.shape, alpha.shape
    beside = scene.objects == int(generator.integers(1, number))
    if wide > _LARGEST_SIDE * width or tall > _LARGEST_SIDE * height or not beside.any():
        return None
    x, y = _place(bounding_box(beside), (wide, tall), generator)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + wide, width), min(y + tall, height)
    if right - left < VISIBLE_SIDE * wide or bottom - top < VISIBLE_SIDE * tall:
        return None
    at, of = np.s_[top:bottom, left:right], np.s_[top - y : bottom - y, left - x : right - x]
    share = alpha[of] if behind is None else alpha[of] * (1 - behind[at])
    canvas, objects = scene.canvas.copy(), scene.objects.copy()
    canvas[at] += (rgb[of] - canvas[at]) * share[..., None]
    objects[at][share > 0.5] = number
    return Scene(canvas, objects)


def _place(beside: tuple[int, int, int, int], wh: tuple[int, int], generator: np.random.Generator) -> tuple[int, int]:
    """Choose the top left corner of an object of size ``wh`` next to a box: mostly sideways, feet about level."""
    (x0, y0, x1, y1), (wide, tall) = beside, wh
    overlap = generator.uniform(*OVERLAPS)
    after = generator.random() < 0.5
    if generator.random() < SIDEWAYS:
        shared = min(wide, x1 - x0) * overlap
        feet = y1 - tall + generator.uniform(-0.25, 0.25) * min(tall, y1 - y0)
        return int(x1 - shared if after else x0 - wide + shared), int(feet)
    shared = min(tall, y1 - y0) * overlap
    middle = (x0 + x1 - wide) / 2 + generator.uniform(-0.5, 0.5) * wide
    return int(middle), int(y1 - shared if after else y0 - tall + shared)


def _finished(scene: Scene, main_pixels: int, count: int, picture: Picture) -> Composite | None:
    """Turn a scene into a composite; ``None`` if one of its objects is hidden too much."""
    areas = np.bincount(scene.objects.ravel(), minlength=count + 1)[1:]
    if areas[0] < VISIBLE_MAIN * main_pixels or areas.min() < SMALLEST * scene.objects.size:
        return None
    frame = picture.frame
    boxes = [bounding_box(scene.objects == number) for number in range(1, count + 1)]
    return Composite(
        rgb=np.rint(scene.canvas.clip(0, 255)).astype(np.uint8),
        owner=_majority(scene.objects, frame.grid_hw, frame.patch_size, count),
        boxes=np.array(boxes) / frame.patch_size,
    )


def _majority(objects: NDArray[np.int64], grid_hw: tuple[int, int], patch_size: int, count: int) -> NDArray[np.int64]:
    """Return the object on most pixels of each patch, ``(h, w)``; padding counts as none."""
    (rows, columns), (height, width) = grid_hw, objects.shape
    padded = np.zeros((rows * patch_size, columns * patch_size), dtype=np.int64)
    padded[:height, :width] = objects
    tiles = padded.reshape(rows, patch_size, columns, patch_size)
    shares = [(tiles == number).mean(axis=(1, 3)) for number in range(count + 1)]
    return np.asarray(np.argmax(shares, axis=0), dtype=np.int64)
