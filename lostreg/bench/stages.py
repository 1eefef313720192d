"""Measure every stage of a discovery, and the whole, for each engine and precision."""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lostreg.batch import BatchPlan, run_batch
from lostreg.bench.baseline import published_box
from lostreg.bench.clock import alternate, ratios
from lostreg.bench.machine import machine, peak_memory_mb, products, synchronise
from lostreg.discover import Discoverer
from lostreg.discovery import on_photograph
from lostreg.engines import lanes_for_many, most_own_grids
from lostreg.errors import UsageError
from lostreg.geometry import Frame
from lostreg.images import Photograph, read_photograph
from lostreg.objects import find_objects
from lostreg.records import record_of
from lostreg.runfolder import RunFolder
from lostreg.settings import EngineName, Precision
from lostreg.sources import ImageItem

TEST_PICTURE_WH = (500, 375)
"""The commonest size of VOC2007."""

VARIANTS: tuple[tuple[EngineName, Precision], ...] = (
    ("torch", "fp32"),
    ("torch", "bf16"),
    ("torch", "fp16"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("compiled", "fp32"),
    ("compiled", "bf16"),
    ("compiled", "fp16"),
)

ON_REQUEST: frozenset[EngineName] = frozenset({"compiled"})
"""Measured only where the engine is named: setting it up takes longer than all the rest."""

FORWARDS = 8
"""In one timing of the ViT, shared by the lanes: as in a run, none waits for the others after each picture."""

ONE_GRID = " one grid"
"""Ends the names of engines that were told the pictures' grid beforehand."""


@dataclass(frozen=True)
class BenchPlan:
    """What is measured.

    Attributes:
        pictures: files of photographs, the first of which stands for the ViT and the other stages; none means
            made-up pictures of ``sizes``.
        engine: the only engine; ``None`` for all that work here.
        precision: the only precision; ``None`` for all that work here.
        batch_sizes: pictures per forward, for the ViT alone.
        rounds: how often everything is run, in alternation.
        against_published: also time the published procedure, end to end.
        sizes: widths and heights of made-up pictures, each of which is measured.
    """

    pictures: tuple[Path, ...] = ()
    engine: EngineName | None = None
    precision: Precision | None = None
    batch_sizes: tuple[int, ...] = (1,)
    rounds: int = 5
    against_published: bool = False
    sizes: tuple[tuple[int, int], ...] = (TEST_PICTURE_WH,)


def measure(discoverer: Discoverer, plan: BenchPlan, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Measure, and return the figures JSON-ready.

    Args:
        discoverer: its model, method and input rule are measured; its own engine and precision do not matter.
        plan: what to measure.
        say: told what is being done, one line at a time.

    Raises:
        UsageError: nothing of what is asked for works here.
        ImageError: a picture cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="lostreg-bench-") as folder:
        made_up = [write_test_picture(Path(folder) / f"{wh[0]}x{wh[1]}.jpg", wh) for wh in plan.sizes]
        pictures, looked_at = list(plan.pictures) or made_up, list(plan.pictures[:1]) or made_up
        device = discoverer.backbone.device
        grids = [_grid_of(discoverer, each) for each in looked_at]
        # an engine may set itself up for the batches that it meets
        variants = {batch: _runners(discoverer, plan, grids) for batch in {1, *plan.batch_sizes}}
        say(f"the ViT: {', '.join(variants[1])}")
        vit = [
            row
            for each in looked_at
            for batch in plan.batch_sizes
            for row in _vit_rows(variants[batch], each, batch, plan.rounds)
        ]
        say("the other stages")
        stages = [_stages(discoverer, each, plan.rounds) for each in looked_at]
        say("end to end")
        whole = _end_to_end(discoverer, variants[1], pictures, plan, Path(folder))
    return {
        "machine": machine(device),
        "model": discoverer.weights.entry.name,
        "method": discoverer.settings.method,
        "pictures": len(pictures),
        "vit": vit,
        "stages": stages,
        "end_to_end": whole,
        "peak_memory_mb": peak_memory_mb(device),
    }


def write_test_picture(path: Path, wh: tuple[int, int] = TEST_PICTURE_WH) -> Path:
    """Write a JPEG of so many pixels: a bright disc on a noisy ground."""
    width, height = wh
    ground = np.random.default_rng(0).integers(40, 110, size=(height, width, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    ImageDraw.Draw(image).circle((0.54 * width, 0.48 * height), 0.24 * min(wh), fill=(230, 190, 60))
    image.save(path, quality=85)
    return path


def count_gflop(discoverer: Discoverer, inputs: torch.Tensor, frames: list[Frame]) -> float:
    """Return the multiplications and additions of one forward's matrix products, in 10^9."""
    # fused attention is not counted on every device, its plain form is
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        discoverer.extract_batch(inputs, frames)
    return float(counter.get_total_flops()) / 1e9


def _grid_of(discoverer: Discoverer, picture: Path) -> tuple[int, int]:
    return discoverer.prepare(_read(discoverer, picture))[1].grid_hw


def _read(discoverer: Discoverer, picture: Path) -> Photograph:
    return read_photograph(picture, needed_side=discoverer.input_settings.max_side)


def _runners(discoverer: Discoverer, plan: BenchPlan, grids: list[tuple[int, int]]) -> dict[str, Discoverer]:
    """Return the discoverer on every engine and precision asked for, by name; what does not work here is left out.

    An engine that gains by several forwards at once is there twice, and once more if it also gains by knowing the grid.
    """
    runners: dict[str, Discoverer] = {}
    refusal = UsageError(f"There is nothing to measure: no {plan.engine} in {plan.precision}.")
    for engine, precision in VARIANTS:
        asked = plan.engine == engine or (plan.engine is None and engine not in ON_REQUEST)
        if asked and plan.precision in (None, precision):
            try:
                alone = discoverer.with_engine(engine, precision)
            except UsageError as error:
                refusal = error
                continue
            name, lanes = f"{engine} {precision}", lanes_for_many(engine)
            runners[name] = alone
            if lanes > 1:
                name += f" x{lanes}"
                runners[name] = discoverer.with_engine(engine, precision, lanes)
            if most_own_grids(alone.engine, alone.backbone.model):
                runners[name + ONE_GRID] = discoverer.with_engine(engine, precision, lanes, grids)
    if not runners:
        raise refusal
    return runners


def _vit_rows(variants: dict[str, Discoverer], picture: Path, batch: int, rounds: int) -> list[dict[str, Any]]:
    """Time forwards and, in the same rounds, matrix products in the same precision."""
    some = next(iter(variants.values()))
    tensor, frame = some.prepare(_read(some, picture))
    inputs, frames = tensor.repeat(batch, 1, 1, 1), [frame] * batch
    gflop = count_gflop(some.with_engine("torch", "fp32"), inputs[:1], frames[:1])
    device = some.backbone.device
    peaks = {runner.precision: products(device, runner.precision) for runner in variants.values()}
    tasks = {name: partial(_forwards, runner, inputs, frames) for name, runner in variants.items()}
    timings = alternate(tasks | {precision: peak.run for precision, peak in peaks.items()}, rounds)
    rows = []
    for name, runner in variants.items():
        pictures = FORWARDS * batch
        peak, of_products = peaks[runner.precision], timings[runner.precision]
        rows.append(
            {
                "engine": runner.engine.name,
                "precision": runner.precision,
                "batch": batch,
                "at_once": runner.engine.lanes,
                "one_grid": name.endswith(ONE_GRID),
                "image_wh": list(frame.image_wh),
                "grid_hw": list(frame.grid_hw),
                "gflop": round(gflop, 2),
                **timings[name].to_json(per=pictures),
                "gflops": round(pictures * gflop / timings[name].median, 1),
                "peak_gflops": round(peak.gflop / of_products.median, 1),
                "best_peak_gflops": round(peak.gflop / min(of_products.seconds), 1),
                "share_of_peak": ratios(of_products, timings[name], pictures * gflop / peak.gflop),
            }
        )
    return rows


def _forwards(runner: Discoverer, inputs: torch.Tensor, frames: list[Frame]) -> None:
    """Run a batch some times over, in all lanes of the engine."""
    with ThreadPoolExecutor(runner.engine.lanes) as lanes:
        for each in [lanes.submit(runner.extract_batch, inputs, frames) for _ in range(FORWARDS)]:
            each.result()
    synchronise(runner.backbone.device)


def _stages(discoverer: Discoverer, picture: Path, rounds: int) -> dict[str, Any]:
    """Time everything but the ViT on one picture, on one thread of the pipeline each."""
    photograph = _read(discoverer, picture)
    tensor, frame = discoverer.prepare(photograph)
    (features,) = discoverer.extract_batch(tensor[None], [frame])
    found = find_objects(features, discoverer.settings)
    discovery = on_photograph(found, frame, discoverer.settings)
    tasks: dict[str, Callable[[], object]] = {
        "decode": lambda: _read(discoverer, picture),
        "preprocess": lambda: discoverer.prepare(photograph),
        "graph": lambda: find_objects(features, discoverer.settings),
        "box": lambda: on_photograph(found, frame, discoverer.settings),
        "write": lambda: record_of(discovery, key="a", path="a", settings="").to_line(),
    }
    timings = alternate(tasks, 10 * rounds)
    return {"image_wh": list(frame.image_wh)} | {name: timing.to_json() for name, timing in timings.items()}


def _end_to_end(
    discoverer: Discoverer, variants: dict[str, Discoverer], pictures: list[Path], plan: BenchPlan, folder: Path
) -> dict[str, Any]:
    """Run the pipeline over the pictures with every variant, from files to a run folder."""
    repeats = max(1, 8 // len(pictures))  # so that decoding can run ahead and lanes stay full
    files = pictures * repeats
    shares: dict[str, list[float]] = {name: [] for name in variants}
    numbers = itertools.count()

    def pipeline(name: str) -> Callable[[], None]:
        def run() -> None:
            spent = run_pipeline(variants[name], files, folder / str(next(numbers)))
            shares[name].append(spent)

        return run

    tasks: dict[str, Callable[[], object]] = {name: pipeline(name) for name in variants}
    if plan.against_published:
        tasks["published"] = lambda: [published_box(discoverer.backbone, path) for path in files]
    timings = alternate(tasks, plan.rounds)
    rows: dict[str, Any] = {}
    for name, timing in timings.items():
        rows[name] = {"images_per_second": round(len(files) / timing.median, 3), **timing.to_json(per=len(files))}
        if name in shares:
            rows[name]["not_vit_share"] = round(float(np.median(shares[name][1:])), 4)
        if plan.against_published and name != "published":
            rows[name]["times_published"] = ratios(timings["published"], timing)
    return rows


def run_pipeline(discoverer: Discoverer, files: Sequence[Path], run: Path, batch_size: int = 1) -> float:
    """Discover in files into a new run folder; return the share of the time that the ViT's lanes were not running."""
    lanes = discoverer.engine.lanes
    items = [ImageItem(f"{number}/{path.name}", str(path), path) for number, path in enumerate(files)]
    started = time.perf_counter()
    with RunFolder(run, {}) as results:
        collected = _Collected(results)
        run_batch(discoverer, items, collected, BatchPlan("bench", batch_size, lanes=lanes, upright=False))
    return 1 - collected.vit_ms / 1000 / lanes / (time.perf_counter() - started)


class _Collected:
    """Writes records into a run folder and adds up the time of the ViT."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.vit_ms = 0.0

    def add(self, record: Any) -> None:
        """Take a record."""
        self.vit_ms += record.ms["vit"]
        self.folder.add(record)

    def fail(self, key: str, path: str, reason: str, sentence: str) -> None:
        """Say that a picture could not be measured."""
        print(f"lostreg: {reason}: {sentence}", file=sys.stderr)
