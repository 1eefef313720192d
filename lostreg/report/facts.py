"""What a run's own files tell, in numbers that stay small however long the run is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostreg.runreader import read_failures, read_header, read_records


@dataclass(frozen=True, eq=False)
class RunFacts:
    """A run in numbers.

    Attributes:
        folder: the run folder.
        header: the content of ``run.json``.
        best_scores: the highest score of every picture by key, 0 where nothing was found.
        scores: ``(n,)``, of all objects.
        box_shares: ``(n,)``, box area as a share of the picture's, in percent.
        counts: ``(pictures,)``, objects per picture.
        stage_ms: mean milliseconds per picture and stage.
        failures: sentences by reason.
    """

    folder: Path
    header: dict[str, Any]
    best_scores: dict[str, float]
    scores: NDArray[np.float64]
    box_shares: NDArray[np.float64]
    counts: NDArray[np.int64]
    stage_ms: dict[str, float]
    failures: dict[str, list[str]]

    @property
    def identity(self) -> dict[str, Any]:
        """The settings and weights that the results depend on."""
        return dict(self.header.get("identity", {}))


def read_facts(folder: Path) -> RunFacts:
    """Read a run folder once.

    Raises:
        RunError: it is no run folder, or damaged.
    """
    header = read_header(folder)
    best: dict[str, float] = {}
    scores: list[float] = []
    shares: list[float] = []
    counts: list[int] = []
    spent: dict[str, float] = defaultdict(float)
    for record in read_records(folder):
        best[record.key] = max((each.score for each in record.objects), default=0.0)
        counts.append(len(record.objects))
        for each in record.objects:
            x0, y0, x1, y1 = each.bbox_xyxy
            scores.append(each.score)
            shares.append(100 * (x1 - x0) * (y1 - y0) / (record.width * record.height))
        for stage, milliseconds in record.ms.items():
            spent[stage] += milliseconds
    failures: dict[str, list[str]] = defaultdict(list)
    for failure in read_failures(folder):
        if failure["key"] not in best:
            failures[failure["reason"]].append(failure["error"])
    return RunFacts(
        folder=folder,
        header=header,
        best_scores=best,
        scores=np.array(scores, dtype=np.float64),
        box_shares=np.array(shares, dtype=np.float64),
        counts=np.array(counts, dtype=np.int64),
        stage_ms={stage: total / len(best) for stage, total in spent.items()},
        failures=dict(sorted(failures.items(), key=lambda item: -len(item[1]))),
    )
