"""What fitting needs of a picture, on disk: computed once, whole or not there, bounded in bytes.

One safetensors file per picture, ``CACHE/fit/SETTINGS/KEY.safetensors``. SETTINGS names the weights, the layer, the
precision and the input rule; KEY is the SHA-256 of the decoded pixels, so that a picture is known by its content,
wherever it lies. A file whose checksum does not fit is thrown away and computed again. What was used longest ago
makes room, and nothing that the running fit has used does.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from lostreg.errors import RunError
from lostreg.files import cache_dir, written_whole
from lostreg.geometry import Frame
from lostreg.images import Photograph
from lostreg.settings import fingerprint

FORMAT = 1
DEFAULT_MAX_BYTES = 8 * 10**9
"""Some 3,000 photographs of 640 pixels and as many composites."""

_CHECKSUM = "crc32"


@dataclass(frozen=True, eq=False)
class Picture:
    """What is kept in memory of a picture whose tokens lie in the cache.

    Attributes:
        key: names it.
        frame: how the grid lies on the picture at the size that the ViT sees.
        mask: ``(h, w)`` ``bool``, where the diffusion score is positive.
        boxes: ``(n, 4)`` ``float32``, head consensus's candidates, in patches, clipped where the picture ends.
    """

    key: str
    frame: Frame
    mask: torch.Tensor
    boxes: NDArray[np.float32]


@dataclass(frozen=True)
class Entry:
    """One picture in the cache.

    Attributes:
        tokens: ``(h, w, D)`` ``float16``, the output tokens divided by their norm.
        mask: see :class:`Picture`.
        boxes: see :class:`Picture`.
        size: ``(3,)`` ``int32``: width and height of the picture in the ViT's input, without padding; patch size.
        rgb: ``(height, width, 3)`` ``uint8``, the picture at that size, or no bytes ``(0, 0, 3)`` for composites.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    boxes: torch.Tensor
    size: torch.Tensor
    rgb: torch.Tensor

    def picture(self, key: str) -> Picture:
        """Return what is kept in memory."""
        width, height, patch_size = (int(value) for value in self.size)
        rows, columns = self.mask.shape
        frame = Frame((width, height), (width, height), (rows, columns), patch_size)
        return Picture(key, frame, self.mask, self.boxes.numpy())


def picture_key(photograph: Photograph) -> str:
    """Return the name of a picture by its pixels."""
    digest = hashlib.sha256(repr((photograph.rgb.shape, photograph.wh)).encode())
    digest.update(photograph.rgb.tobytes())
    return digest.hexdigest()


class FeatureCache:
    """Entries by key, in one folder per settings.

    Attributes:
        folder: where the entries of these settings are.
    """

    def __init__(self, settings: dict[str, Any], max_bytes: int = DEFAULT_MAX_BYTES, root: Path | None = None) -> None:
        """Name the cache; nothing is touched before the first entry.

        Args:
            settings: JSON-ready, all that the entries depend on beside the picture.
            max_bytes: of all entries of all settings together.
            root: holds the folders of all settings; ``None`` takes ``fit`` in the cache folder.
        """
        self.root = root or cache_dir() / "fit"
        self.folder = self.root / fingerprint(FORMAT, settings)
        self._max_bytes = max_bytes
        self._used: set[Path] = set()
        self._bytes: int | None = None

    def load(self, key: str) -> Entry | None:
        """Return an entry, or ``None`` where there is none or it was damaged; such a file is deleted."""
        path = self._path(key)
        try:
            tensors, checksum = _read(path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError):
            tensors, checksum = {}, ""
        if tensors.keys() != {field.name for field in fields(Entry)} or checksum != _checksum(tensors):
            path.unlink(missing_ok=True)
            return None
        path.touch()
        self._used.add(path)
        return Entry(**tensors)

    def save(self, key: str, entry: Entry) -> None:
        """Write an entry and make room for it.

        Raises:
            RunError: this fit alone needs more room than the cache may take, or the disk is full.
        """
        tensors = {field.name: getattr(entry, field.name).contiguous() for field in fields(Entry)}
        path = self._path(key)
        try:
            with written_whole(path) as temporary:
                save_file(tensors, temporary, {_CHECKSUM: _checksum(tensors)})
            self._used.add(path)
            self._make_room(path.stat().st_size)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"Cannot write to the cache {self.root}: {error}; free the disk or set LOSTREG_CACHE."
            ) from error

    def tokens(self, key: str) -> torch.Tensor:
        """Return the tokens ``(h, w, D)`` ``float16`` of an entry that this fit has loaded or saved before."""
        return self._tensor(key, "tokens")

    def rgb(self, key: str) -> NDArray[np.uint8]:
        """Return the pixels ``(height, width, 3)`` of a photograph that this fit has loaded or saved before."""
        return np.asarray(self._tensor(key, "rgb").numpy(), dtype=np.uint8)

    def _tensor(self, key: str, name: str) -> torch.Tensor:
        with safe_open(self._path(key), framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def _make_room(self, added: int) -> None:
        """Delete the entries used longest ago until all fit."""
        if self._bytes is None:
            self._bytes = sum(path.stat().st_size for path in self.root.glob("*/*.safetensors"))
        else:
            self._bytes += added
        if self._bytes <= self._max_bytes:
            return
        others = [path for path in self.root.glob("*/*.safetensors") if path not in self._used]
        for path in sorted(others, key=lambda each: each.stat().st_mtime):
            self._bytes -= path.stat().st_size
            path.unlink(missing_ok=True)
            if self._bytes <= self._max_bytes:
                return
        raise RunError(
            f"The features of these pictures need more than the {self._max_bytes / 1e9:g} GB that the cache may take; "
            "name fewer pictures, use a smaller --max-side, or raise --cache-gb."
        )


def _read(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get(_CHECKSUM, "")  # noqa: SIM118


def _checksum(tensors: dict[str, torch.Tensor]) -> str:
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].contiguous().numpy().tobytes(), value)
    return f"{value:08x}"
