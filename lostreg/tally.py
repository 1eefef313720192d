"""Which pictures were listed, in two short values that do not hang on their order: a count and a digest of the keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from lostreg.sources import ImageItem

_MODULUS = 1 << 128


class Tally:
    """Counts pictures as they pass.

    Attributes:
        count: how many passed.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        """Count some keys at once."""
        self.count = 0
        self._sum = 0
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """Count a key."""
        self.count += 1
        self._sum += int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())

    def passing(self, items: Iterable[ImageItem]) -> Iterator[ImageItem]:
        """Yield pictures and count them."""
        for item in items:
            self.add(item.key)
            yield item

    @property
    def digest(self) -> str:
        """32 hexadecimal digits: sums of SHA-256, so that the same keys give the same in any order."""
        return f"{self._sum % _MODULUS:032x}"
