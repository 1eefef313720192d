"""Pictures through the ViT once, into the cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

from lostreg.discover import Discoverer
from lostreg.errors import FeatureError, ImageError
from lostreg.features import Features
from lostreg.fit.cache import Entry, FeatureCache, Picture, picture_key
from lostreg.images import Photograph
from lostreg.methods import diffusion, head_consensus
from lostreg.progress import Progress
from lostreg.settings import MethodSettings, Part
from lostreg.sources import ImageItem

PARTS: frozenset[Part] = frozenset({"x", "v", "attention"})
_DECODERS = 2
_AHEAD = 8


def cache_settings(discoverer: Discoverer) -> dict[str, Any]:
    """Return what entries depend on beside the picture: weights, registers, input rule, precision, views."""
    method = {*MethodSettings().to_json(), "head_sha256", "frame"}
    identity = discoverer.identity(MethodSettings())
    return {name: value for name, value in identity.items() if name not in method}


class Extractor:
    """Turns pictures into entries of the cache."""

    def __init__(self, discoverer: Discoverer, cache: FeatureCache) -> None:
        """Use a model and a cache that is named after it."""
        self.discoverer = discoverer
        self.cache = cache

    def __call__(self, photograph: Photograph, *, keep_rgb: bool) -> Picture:
        """Return what fitting keeps of a picture, from the cache if it is there.

        Raises:
            FeatureError: the model gives what cannot be used.
        """
        key = picture_key(photograph)
        entry = self.cache.load(key)
        if entry is None or (keep_rgb and not entry.rgb.numel()):
            tensor, frame = self.discoverer.prepare(photograph)
            (features,) = self.discoverer.extract_batch(tensor[None], [frame], PARTS)
            entry = entry_of(features, photograph.rgb if keep_rgb else None)
            self.cache.save(key, entry)
        return entry.picture(key)


def entry_of(features: Features, rgb: NDArray[np.uint8] | None) -> Entry:
    """Keep what fitting needs of one picture's features.

    Args:
        features: tokens ``x`` and ``v`` and the attention.
        rgb: ``(height, width, 3)`` ``uint8``, the picture, or ``None`` not to keep it.

    Raises:
        FeatureError: something is not finite, or the model has no CLS token.
    """
    frame, free = features.frame, np.ones(features.grid_hw, dtype=np.bool_)
    spread = diffusion.propose(features, MethodSettings(), free)
    mask = np.zeros_like(free) if spread is None else spread.scores > 0
    _, regions = head_consensus.candidates(features, free)
    boxes = np.array([head_consensus.visible_box(region, frame) for region in regions], dtype=np.float32)
    tokens = normalize(features.projection("x"), dim=1).half().cpu()
    width, height = frame.content_wh
    if rgb is None:
        rgb = np.zeros((0, 0, 3), dtype=np.uint8)
    elif (rgb.shape[1], rgb.shape[0]) != frame.content_wh:
        rgb = np.asarray(Image.fromarray(rgb).resize(frame.content_wh, Image.Resampling.BICUBIC))
    return Entry(
        tokens=tokens.reshape(*features.grid_hw, -1),
        mask=torch.from_numpy(mask),
        boxes=torch.from_numpy(boxes.reshape(-1, 4)),
        size=torch.tensor([width, height, frame.patch_size], dtype=torch.int32),
        rgb=torch.from_numpy(np.array(rgb)),
    )


def extract_all(
    extractor: Extractor,
    items: Iterable[ImageItem],
    progress: Progress,
    fail: Callable[[ImageItem, ImageError | FeatureError], None],
    *,
    upright: bool = True,
) -> list[Picture]:
    """Extract many pictures; return those that can be used, equal ones once, in their order.

    Args:
        extractor: does the work.
        items: the pictures.
        progress: advanced by one per picture.
        fail: called for every picture that cannot be used.
        upright: decode into the displayed frame; else into the stored one.
    """
    pictures: dict[str, Picture] = {}
    for item, decoded in _decoded(items, upright, extractor.discoverer.input_settings.max_side):
        try:
            picture = extractor(decoded.result(), keep_rgb=True)
        except (ImageError, FeatureError) as error:
            fail(item, error)
            progress.advance(failed=True)
        else:
            pictures.setdefault(picture.key, picture)
            progress.advance()
    return list(pictures.values())


def _decoded(
    items: Iterable[ImageItem], upright: bool, needed_side: int | None
) -> Iterator[tuple[ImageItem, Future[Photograph]]]:
    """Yield pictures in order, decoded a few ahead by threads."""
    waiting: deque[tuple[ImageItem, Future[Photograph]]] = deque()
    with ThreadPoolExecutor(_DECODERS, "lostreg-decode") as pool:
        for item in items:
            waiting.append((item, pool.submit(item.read, upright=upright, needed_side=needed_side)))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
