"""How fast lostreg is on this machine, stage by stage, beside what the machine can do.

Everything that is compared is timed in one process, in alternation, so that what else the machine does meets all
alike; figures are medians with their 10th and 90th percentile.
"""

from __future__ import annotations

from lostreg.bench.clock import Timing, alternate
from lostreg.bench.stages import BenchPlan, measure
from lostreg.bench.table import to_text

__all__ = ["BenchPlan", "Timing", "alternate", "measure", "to_text"]
