"""Where the results of ``lostreg discover`` go: into the run folder, onto stdout, and into the counts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from lostreg.progress import Progress
    from lostreg.records import Record
    from lostreg.runfolder import RunFolder
    from lostreg.tally import Tally


class Collector:
    """Takes results as they come: into the run folder, onto stdout, and into the counts."""

    def __init__(self, folder: RunFolder | None, progress: Progress, *, as_json: bool, quiet: bool) -> None:
        """Count from what an earlier run left in the folder."""
        self.folder = folder
        self.progress = progress
        self.as_json = as_json
        self.quiet = quiet
        self.objects = 0
        self.failed_here = 0
        self.stage_ms: dict[str, float] = {}

    def add(self, record: Record) -> None:
        """Take a record."""
        if self.folder is not None:
            self.folder.add(record)
        self.objects += len(record.objects)
        for stage, spent in record.ms.items():
            self.stage_ms[stage] = self.stage_ms.get(stage, 0.0) + spent
        if self.as_json:
            print(record.to_line(), flush=True)
        elif self.folder is None:
            print(_line(record), flush=True)
        self.progress.advance()

    def fail(self, key: str, path: str, reason: str, sentence: str) -> None:
        """Take a failure."""
        if self.folder is not None:
            self.folder.fail(key, path, reason, sentence)
        self.failed_here += 1
        print(f"lostreg: {reason}: {sentence}", file=sys.stderr, flush=True)
        if self.as_json:
            print(json.dumps({"key": key, "path": path, "reason": reason, "error": sentence}), flush=True)
        self.progress.advance(failed=True)

    @property
    def failures(self) -> int:
        """How many pictures failed: of the whole run, where there is a run folder."""
        return self.failed_here if self.folder is None else len(self.folder.failed)

    def save_counts(self, call: dict[str, Any], tally: Tally, gone: Collection[str], *, finished: bool) -> None:
        """Write into the run folder what was done, and whether that is all that the call names.

        Args:
            call: what it names.
            tally: of the pictures that were listed.
            gone: failures that stand for nothing any more.
            finished: whether all were done.
        """
        if self.folder is None:
            return
        self.folder.settle_failures(gone)
        fields: dict[str, Any] = {
            "counts": {"done": len(self.folder.done), "failed": self.failures, "in_this_call": self.progress.count}
        }
        if finished:  # of a stream it is not known before
            fields |= {"listed": tally.count, "listed_keys": tally.digest}
        if self.progress.count:  # else those of the call that did something stay
            fields["timings"] = self._timings()
        self.folder.end(call, finished=finished, **fields)

    def _timings(self) -> dict[str, Any]:
        seconds = self.progress.seconds
        return {
            "seconds": round(seconds, 2),
            "images_per_second": round(self.progress.count / max(seconds, 1e-9), 3),
            "stage_ms": {stage: round(spent, 1) for stage, spent in self.stage_ms.items()},
        }

    def say_counts(self, elsewhere: list[str], *, finished: bool) -> None:
        """Say what was done, where it is, and what was left out because the run has it from ``elsewhere``."""
        if elsewhere:
            print(
                f"lostreg: {len(elsewhere)} pictures, such as {elsewhere[0]}, were left out: the run has pictures of "
                "these names from places that are no more. If they are others, give them another --output.",
                file=sys.stderr,
                flush=True,
            )
        if self.quiet:
            return
        where = f" -> {self.folder.path}" if self.folder is not None else ""
        state = "" if finished else "stopped: "
        print(f"lostreg: {state}{self.progress}, {self.objects} objects{where}", file=sys.stderr, flush=True)


def _line(record: Record) -> str:
    boxes = "  ".join(
        f"[{' '.join(f'{edge:g}' for edge in each.bbox_xyxy)}] {each.score:.2f}" for each in record.objects
    )
    return f"{record.key}  {boxes or 'nothing found'}"
