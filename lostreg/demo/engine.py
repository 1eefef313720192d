"""One ViT forward per picture and model, kept on the server; everything else is recomputed from it.

What is kept is found by the content of the picture that a request brings along, never by a name or a session,
so no visitor can reach another's picture, and nothing kept is ever sent back to a browser to be returned.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostreg.demo.gpu import on_gpu
from lostreg.demo.limits import DISPLAY_SIDE, MEGABYTE, decode
from lostreg.demo.models import Models
from lostreg.discovery import Discovery
from lostreg.draw import shrunk
from lostreg.features import Features
from lostreg.images import Photograph
from lostreg.settings import PARTS

KEPT_BYTES = 256 * MEGABYTE


@dataclass(frozen=True)
class Analysed:
    """A picture after the ViT.

    Attributes:
        model: the name it was analysed under.
        features: all parts, on the CPU; the frame is that of the picture itself.
        rgb: the picture scaled for display.
        orientation: the EXIF orientation of the file.
        ms: milliseconds spent on decoding and on the ViT.
    """

    model: str
    features: Features
    rgb: NDArray[np.uint8]
    orientation: int
    ms: dict[str, float]

    @property
    def nbytes(self) -> int:
        """How much memory it holds."""
        tensors = [*self.features.tokens.values(), self.features.attention, self.features.norms]
        return self.rgb.nbytes + sum(each.nbytes for each in tensors if each is not None)


class Engine:
    """Analyses pictures and remembers the latest; one per process, shared by all visitors.

    Attributes:
        models: the models on offer.
        forwards: how many times a ViT has run.
    """

    def __init__(self, models: Models, *, kept_bytes: int = KEPT_BYTES) -> None:
        """Start with nothing kept; ``kept_bytes`` bounds what will be."""
        self.models = models
        self.forwards = 0
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[tuple[str, str], Analysed] = OrderedDict()
        self._lock = Lock()
        self._forward_lock = Lock()
        self._extract = on_gpu(self._extract_all)

    def analyse(self, content: bytes, model: str) -> tuple[Analysed, bool]:
        """Return a picture's features, and whether the ViT had to run for them.

        Args:
            content: the encoded picture.
            model: a name on offer.

        Raises:
            LostregError: the picture cannot be read, or the model cannot be had.
        """
        key = (hashlib.sha256(content).hexdigest(), model)
        kept = self._look_up(key)
        if kept is not None:
            return kept, False
        started = time.perf_counter()
        photograph = decode(content, self.models.get(model).input_settings.max_side)
        decode_ms = _ms_since(started)
        with self._forward_lock:  # one at a time: more would only share the same processor
            kept = self._look_up(key)
            if kept is not None:
                return kept, False
            analysed = self._forward(photograph, model, decode_ms)
            self._keep(key, analysed)
        return analysed, True

    def discover(self, analysed: Analysed, **overrides: Any) -> tuple[Discovery, float]:
        """Run the cheap step; return what was found, and the milliseconds it took.

        Raises:
            LostregError: a setting makes no sense, or the features cannot be used.
        """
        discoverer = self.models.get(analysed.model)
        started = time.perf_counter()
        discovery = discoverer.discover(analysed.features, **overrides)
        return discovery, _ms_since(started)

    def _forward(self, photograph: Photograph, model: str, decode_ms: float) -> Analysed:
        started = time.perf_counter()
        features = self._extract(photograph, model)
        self.forwards += 1
        ms = {"decode": decode_ms, "vit": _ms_since(started)}
        rgb = np.ascontiguousarray(shrunk(photograph.rgb, DISPLAY_SIDE))
        return Analysed(model, features, rgb, photograph.orientation, ms)

    def _extract_all(self, photograph: Photograph, model: str) -> Features:
        return on_cpu(self.models.get(model).extract(photograph, set(PARTS)))

    def _look_up(self, key: tuple[str, str]) -> Analysed | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def _keep(self, key: tuple[str, str], analysed: Analysed) -> None:
        with self._lock:
            self._kept[key] = analysed
            while sum(each.nbytes for each in self._kept.values()) > self._kept_bytes:
                self._kept.popitem(last=False)


def on_cpu(features: Features) -> Features:
    """Return features whose tensors lie in main memory, so that what is kept does not fill a GPU."""
    return replace(
        features,
        tokens={name: values.cpu() for name, values in features.tokens.items()},
        attention=None if features.attention is None else features.attention.cpu(),
        norms=None if features.norms is None else features.norms.cpu(),
    )


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
