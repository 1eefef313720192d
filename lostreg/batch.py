"""Many photographs through one Discoverer: decode workers, equal-sized batches, ViT, graph, one writer.

Four stages, each bounded, so memory does not grow with the number of pictures::

    decode (threads) -> buckets of equal grid -> ViT (a thread per lane) -> graph, record, overlay (one thread)

A picture that cannot be done is reported and costs only itself. A stop request is honoured between batches;
what is finished is written.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import torch

from lostreg.discover import Discoverer
from lostreg.discovery import Discovery
from lostreg.engines import is_out_of_memory
from lostreg.errors import FeatureError, ImageError
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.images import MAX_PIXELS, Photograph
from lostreg.records import Record, record_of
from lostreg.sources import ImageItem

_BATCHES_WAITING = 2
_BUCKETS_WAITING = 4
_FAILURES_WAITING = 64


class Results(Protocol):
    """Where finished pictures go."""

    def add(self, record: Record) -> None:
        """Take a record."""

    def fail(self, key: str, path: str, reason: str, sentence: str) -> None:
        """Take a failure."""


@dataclass(frozen=True)
class BatchPlan:
    """How a batch run is carried out; none of it changes a box.

    Attributes:
        settings: fingerprint written into every record.
        batch_size: pictures per ViT forward.
        workers: decoding threads.
        lanes: forwards at once, as many as the discoverer's engine takes.
        upright: decode into the displayed frame; else into the stored one.
        max_pixels: refuse larger pictures.
    """

    settings: str
    batch_size: int = 1
    workers: int = 2
    lanes: int = 1
    upright: bool = True
    max_pixels: int = MAX_PIXELS


@dataclass
class _Prepared:
    item: ImageItem
    photograph: Photograph
    tensor: torch.Tensor
    frame: Frame
    ms: dict[str, float]


@dataclass
class _Flow:
    """What the stages share during one run."""

    discoverer: Discoverer
    plan: BatchPlan
    results: Results
    on_discovery: Callable[[Record, Discovery, Photograph], None]
    stopped: Callable[[], bool]
    vit: ThreadPoolExecutor
    finisher: ThreadPoolExecutor
    batch_size: int
    running: deque[tuple[list[_Prepared], Future[list[Features]]]] = field(default_factory=deque)
    finishing: deque[Future[None]] = field(default_factory=deque)


def run_batch(
    discoverer: Discoverer,
    items: Iterable[ImageItem],
    results: Results,
    plan: BatchPlan,
    *,
    on_discovery: Callable[[Record, Discovery, Photograph], None] = lambda record, discovery, photograph: None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Find objects in many pictures and hand each result on as it is done.

    Args:
        discoverer: does the work.
        items: the pictures, read ahead of the ViT by a bounded number.
        results: takes each record or failure; called from one thread at a time.
        plan: batch size, workers and the frame to decode into.
        on_discovery: called with each record before it is added, for overlays.
        stopped: asked between batches; once true, nothing new is begun and what is begun is finished.
    """
    with ThreadPoolExecutor(1, "lostreg-finish") as finisher, ThreadPoolExecutor(plan.lanes, "lostreg-vit") as vit:
        flow = _Flow(discoverer, plan, results, on_discovery, stopped, vit, finisher, plan.batch_size)
        buckets: defaultdict[tuple[int, int], list[_Prepared]] = defaultdict(list)
        for prepared in _decoded(flow, items):
            bucket = buckets[prepared.frame.grid_hw]
            bucket.append(prepared)
            if len(bucket) >= flow.batch_size:
                _forward(flow, buckets.pop(prepared.frame.grid_hw))
            elif sum(map(len, buckets.values())) > _BUCKETS_WAITING * flow.batch_size:
                _forward(flow, buckets.pop(max(buckets, key=lambda grid: len(buckets[grid]))))
        for bucket in buckets.values():
            if not stopped():
                _forward(flow, bucket)
        _collect_down_to(flow, 0)
        _finish_down_to(flow, 0)


def _decoded(flow: _Flow, items: Iterable[ImageItem]) -> Iterator[_Prepared]:
    """Yield pictures in order, decoded ahead by threads; failures are reported where they would have come."""
    ahead = flow.plan.workers + _BATCHES_WAITING * flow.plan.lanes * flow.batch_size
    waiting: deque[tuple[ImageItem, Future[_Prepared]]] = deque()
    with ThreadPoolExecutor(flow.plan.workers, "lostreg-decode") as pool:
        source = iter(items)
        exhausted = False
        while not flow.stopped():
            while not exhausted and len(waiting) < ahead:
                item = next(source, None)
                exhausted = item is None
                if item is not None:
                    waiting.append((item, pool.submit(_decode, flow, item)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                yield future.result()
            except ImageError as error:
                _fail(flow, item, error.reason, error)
        for _, future in waiting:
            future.cancel()


def _decode(flow: _Flow, item: ImageItem) -> _Prepared:
    started = time.perf_counter()
    photograph = item.read(
        upright=flow.plan.upright,
        max_pixels=flow.plan.max_pixels,
        needed_side=flow.discoverer.input_settings.max_side,
    )
    tensor, frame = flow.discoverer.prepare(photograph)
    return _Prepared(item, photograph, tensor, frame, {"decode": _ms_since(started)})


def _forward(flow: _Flow, batch: list[_Prepared]) -> None:
    """Queue pictures of one grid for the ViT, in parts if memory has been too short for so many at once.

    One batch waits beside those in the lanes, so that a lane that gets free finds work; with a single lane none does,
    so that each batch knows what fitted before it. After a stop nothing more is queued.
    """
    lanes = flow.plan.lanes
    while batch:
        _collect_down_to(flow, lanes if lanes > 1 else 0)
        if flow.stopped():
            return
        part, batch = batch[: flow.batch_size], batch[flow.batch_size :]
        flow.running.append((part, flow.vit.submit(_extract, flow, part)))


def _extract(flow: _Flow, batch: list[_Prepared]) -> list[Features]:
    started = time.perf_counter()
    inputs = _stacked(batch, flow.discoverer.backbone.device)
    features = flow.discoverer.extract_batch(inputs, [each.frame for each in batch])
    for each in batch:
        each.ms["vit"] = round(_ms_since(started) / len(batch), 2)
    return features


def _collect_down_to(flow: _Flow, running: int) -> None:
    """Queue the oldest forwards for finishing until so many still run; out of memory halves the batch."""
    while len(flow.running) > running:
        batch, future = flow.running.popleft()
        features = _result(future)
        del future  # else the failed forward's tensors would live on in its traceback while the halves run
        if features is None:
            _forward_in_halves(flow, batch)
            continue
        _finish_down_to(flow, _BATCHES_WAITING * flow.plan.lanes - 1)
        flow.finishing.append(flow.finisher.submit(_finish, flow, batch, features))


def _result(future: Future[list[Features]]) -> list[Features] | None:
    """Return what a forward gave, or ``None`` if memory was too short for it."""
    error = future.exception()  # raising it here would tie it, its frames and their tensors to this frame
    if error is None:
        return future.result()
    if not isinstance(error, RuntimeError) or not is_out_of_memory(error):
        raise error
    return None


def _stacked(batch: list[_Prepared], device: torch.device) -> torch.Tensor:
    """Join the inputs of a batch, for a GPU in pinned memory, which it reads while it computes."""
    if len(batch) == 1 and device.type != "cuda":
        return batch[0].tensor[None]
    shape = (len(batch), *batch[0].tensor.shape)
    return torch.stack([each.tensor for each in batch], out=torch.empty(shape, pin_memory=device.type == "cuda"))


def _forward_in_halves(flow: _Flow, batch: list[_Prepared]) -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(batch) == 1:
        rows, columns = batch[0].frame.grid_hw
        sentence = (
            f"{batch[0].item.path} needs more memory than the device has ({rows} x {columns} patches); "
            "use a smaller --max-side."
        )
        _fail(flow, batch[0].item, "out-of-memory", FeatureError(sentence))
        return
    middle = len(batch) // 2
    flow.batch_size = min(flow.batch_size, max(1, middle))
    _forward(flow, batch[:middle])
    _forward(flow, batch[middle:])


def _finish_down_to(flow: _Flow, waiting: int) -> None:
    while len(flow.finishing) > waiting:
        flow.finishing.popleft().result()


def _finish(flow: _Flow, batch: list[_Prepared], features: list[Features]) -> None:
    for each, feature in zip(batch, features, strict=True):
        started = time.perf_counter()
        try:
            discovery = flow.discoverer.discover(feature)
        except FeatureError as error:
            flow.results.fail(each.item.key, each.item.path, error.reason, str(error))
            continue
        each.ms["graph"] = _ms_since(started)
        record = record_of(
            discovery,
            key=each.item.key,
            path=each.item.path,
            settings=flow.plan.settings,
            orientation=each.photograph.orientation,
            upright=each.photograph.upright,
            ms=each.ms,
        )
        flow.on_discovery(record, discovery, each.photograph)
        flow.results.add(record)


def _fail(flow: _Flow, item: ImageItem, reason: str, error: Exception) -> None:
    """Report a failure from the finishing thread, the only one that writes."""
    _finish_down_to(flow, _FAILURES_WAITING)
    flow.finishing.append(flow.finisher.submit(flow.results.fail, item.key, item.path, reason, str(error)))


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)
