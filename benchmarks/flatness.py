"""Whether images per second and memory stay flat from 100 to 5,000 pictures (dev500's, over and over)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from common import photographs, write

from lostreg import Discoverer
from lostreg.batch import BatchPlan, run_batch
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.records import Record
from lostreg.runfolder import RunFolder
from lostreg.sources import ImageItem

MARKS = (100, 500, 1000, 2000, 3000, 4000, 5000)


class Marks:
    """Writes records, and notes the time and the memory at :data:`MARKS`."""

    def __init__(self, folder: RunFolder) -> None:
        """Start the clock."""
        self.folder = folder
        self.started = time.perf_counter()
        self.rows: list[dict[str, float]] = []

    def add(self, record: Record) -> None:
        """Take a record."""
        self.folder.add(record)
        count = len(self.folder.done)
        if count in MARKS:
            seconds = time.perf_counter() - self.started
            last = self.rows[-1] if self.rows else {"images": 0, "seconds": 0.0}
            rate = (count - last["images"]) / (seconds - last["seconds"])
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
            self.rows.append(
                {
                    "images": count,
                    "seconds": round(seconds, 3),
                    "images_per_second_since_last": round(rate, 3),
                    "resident_mb": round(resident, 1),
                }
            )

    def fail(self, key: str, path: str, reason: str, sentence: str) -> None:
        """No picture of the list may fail."""
        raise SystemExit(sentence)


def main() -> None:
    """Measure and write ``results/flatness.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--max-side", type=int, default=140, help="small, so that all but the ViT weighs more")
    args = parser.parse_args()
    files = photographs(args.root, "dev500")
    items = (
        ImageItem(f"{number}/{files[number % len(files)].name}", "", files[number % len(files)])
        for number in range(MARKS[-1])
    )
    discoverer = Discoverer(OFFLINE_MODEL, device="cpu", max_side=args.max_side)
    with tempfile.TemporaryDirectory() as folder, RunFolder(Path(folder) / "run", {}) as run:
        marks = Marks(run)
        run_batch(discoverer, items, marks, BatchPlan("flatness", upright=False))
    engine = f"{discoverer.engine.name} {discoverer.precision}"
    write("flatness", {"max_side": args.max_side, "engine": engine, "rows": marks.rows})


if __name__ == "__main__":
    sys.exit(run_script(main))
