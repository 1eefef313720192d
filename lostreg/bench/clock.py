"""Times: medians with spread, taken in alternation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated runs, at least one."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median, in seconds."""
        return float(np.median(self.seconds))

    def percentile(self, share: float) -> float:
        """Return a percentile, in seconds; ``share`` from 0 to 100."""
        return float(np.percentile(self.seconds, share))

    def to_json(self, per: int = 1) -> dict[str, float | int]:
        """Return milliseconds per picture, where each run took ``per`` pictures."""
        scale = 1000 / per
        return {
            "median_ms": round(self.median * scale, 3),
            "p10_ms": round(self.percentile(10) * scale, 3),
            "p90_ms": round(self.percentile(90) * scale, 3),
            "runs": len(self.seconds),
        }


def alternate(
    tasks: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """Run every task once unmeasured, then once per round, one after the other, and return their times.

    Args:
        tasks: by name; each waits for its device before it returns.
        rounds: at least 1.
        clock: in seconds; ``time.process_time`` leaves out what other programs take.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(rounds):
        for name, task in tasks.items():
            started = clock()
            task()
            seconds[name].append(clock() - started)
    return {name: Timing(tuple(spent)) for name, spent in seconds.items()}


def ratios(slow: Timing, fast: Timing, work: float = 1.0) -> dict[str, float | int]:
    """Return how many times faster ``fast`` is: the median over the rounds' own ratios, and their spread.

    Args:
        slow: one task's times.
        fast: another's, of the same rounds.
        work: how many times as much ``fast`` does.
    """
    values = work * np.array(slow.seconds) / np.array(fast.seconds)
    low, middle, high = (round(float(each), 3) for each in np.percentile(values, (10, 50, 90)))
    return {"median": middle, "p10": low, "p90": high, "pairs": len(values)}
