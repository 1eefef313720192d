"""Progress of long work on stderr: a bar on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

_SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Counts pictures, or what else comes in numbers, and says rate, time left and failures; a context manager."""

    def __init__(self, total: int | None, *, unit: str = "images", quiet: bool = False) -> None:
        """Start counting towards ``total``; ``None`` where it is not known."""
        self.total = total
        self.unit = unit
        self.count = 0
        self.failed = 0
        self._quiet = quiet
        self._started = self._last_line = time.monotonic()
        self._bar: Any = None
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=f" {unit}", file=sys.stderr, dynamic_ncols=True)

    def __enter__(self) -> Progress:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def advance(self, count: int = 1, *, failed: bool = False) -> None:
        """Count one, or several."""
        self.count += count
        self.failed += failed
        if self._bar is not None:
            self._bar.update(count)
            if self.failed:
                self._bar.set_postfix(failed=self.failed)
        elif not self._quiet and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(f"lostreg: {self}", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def __str__(self) -> str:
        """Return count, rate, time left and failures in one line."""
        rate = self.count / max(self.seconds, 1e-9)
        of_total = f"/{self.total}" if self.total is not None else ""
        left = f", {duration((self.total - self.count) / rate)} left" if self.total is not None and self.count else ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.count}{of_total} {self.unit}, {rate:.1f} {self.unit}/s{left}{failed}"


def duration(seconds: float) -> str:
    """Return a time span for people, such as ``45 s``, ``12 min`` or ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
