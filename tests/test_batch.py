"""The batch pipeline with a ViT that costs nothing."""

from __future__ import annotations

import resource
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from support import picture, stub_discoverer

from lostreg.batch import BatchPlan, run_batch
from lostreg.errors import ImageError, RunError
from lostreg.images import Photograph
from lostreg.runfolder import RunFolder
from lostreg.sources import ImageItem


class Collected:
    """Results in the order they come."""

    def __init__(self):
        self.records, self.failures, self.threads = [], [], set()

    def add(self, record):
        self.threads.add(threading.get_ident())
        self.records.append(record)

    def fail(self, key, path, reason, sentence):
        self.threads.add(threading.get_ident())
        self.failures.append((key, reason))


def photographs(count, sizes=((80, 60),)):
    generator = np.random.default_rng(0)
    for number in range(count):
        width, height = sizes[number % len(sizes)]
        rgb = generator.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
        yield ImageItem(f"{number}.jpg", f"{number}.jpg", Photograph(rgb))


def found(count, sizes=((80, 60),), batch_size=1, workers=2, lanes=1, **stub):
    results, discoverer = Collected(), stub_discoverer(**stub)
    run_batch(discoverer, photographs(count, sizes), results, BatchPlan("s", batch_size, workers, lanes))
    return results, discoverer.backbone.batches


def test_no_pictures_no_results():
    results, batches = found(0)
    assert (results.records, results.failures, batches) == ([], [], [])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize(("workers", "lanes"), [(1, 1), (4, 1), (2, 3)])
def test_every_picture_once_with_the_same_boxes(batch_size, workers, lanes):
    sizes = ((80, 60), (60, 80), (200, 100))
    results, batches = found(50, sizes, batch_size, workers, lanes)
    alone, _ = found(50, sizes)
    assert sorted(record.key for record in results.records) == sorted(record.key for record in alone.records)
    assert len(results.records) == 50
    assert max(batches) <= batch_size
    boxes = {record.key: record.objects for record in alone.records}
    assert all(record.objects == boxes[record.key] for record in results.records)
    assert len(results.threads) == 1


def test_odd_sizes_cannot_pile_up():
    sizes = [(14 * side, 14) for side in range(1, 60)]
    results, batches = found(59, sizes, batch_size=8)
    assert len(results.records) == 59
    assert sum(batches) == 59


def test_bad_pictures_cost_only_themselves(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    good = picture(tmp_path / "good.jpg")
    items = [
        ImageItem("text.jpg", "text.jpg", tmp_path / "text.jpg"),
        ImageItem("good.jpg", "good.jpg", good),
        ImageItem("no.jpg", "no.jpg", tmp_path / "no.jpg"),
        ImageItem("told.jpg", "told.jpg", ImageError("damaged", "cut")),
    ]
    results = Collected()
    run_batch(stub_discoverer(), items, results, BatchPlan("s"))
    assert [record.key for record in results.records] == ["good.jpg"]
    assert sorted(results.failures) == [("no.jpg", "missing"), ("text.jpg", "not-an-image"), ("told.jpg", "damaged")]


def test_thousands_of_failures_are_all_reported():
    items = [ImageItem(f"{n}", f"{n}", ImageError("missing", "gone")) for n in range(3000)]
    results = Collected()
    run_batch(stub_discoverer(), items, results, BatchPlan("s"))
    assert len(results.failures) == 3000


def test_out_of_memory_halves_the_batch_and_changes_nothing():
    pixels = 3 * 70 * 84  # of one padded input
    results, batches = found(16, batch_size=8, fits=2 * pixels)
    alone, _ = found(16)
    assert batches[:3] == [8, 4, 2]
    assert max(batches[batches.index(2) :]) <= 4
    boxes = {record.key: record.objects for record in alone.records}
    assert {record.key: record.objects for record in results.records} == boxes


def test_a_failed_forward_holds_no_memory_while_its_halves_run():
    discoverer, failed, alive = stub_discoverer(), [], []
    extract = discoverer.backbone.extract

    def forward(inputs, *arguments):
        alive.append(sum(tensor() is not None for tensor in failed))
        activations = inputs.clone()
        if len(inputs) > 1:
            failed.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("full")
        return extract(inputs, *arguments)

    discoverer.backbone.extract = forward
    results = Collected()
    run_batch(discoverer, photographs(4), results, BatchPlan("s", batch_size=4))
    assert len(results.records) == 4
    assert failed
    assert set(alive) == {0}


def test_out_of_memory_in_one_of_several_lanes_costs_no_picture():
    results, _ = found(40, batch_size=4, lanes=3, fits=3 * 70 * 84)
    assert len(results.records) == 40


def test_lanes_run_at_once():
    discoverer, meeting = stub_discoverer(), threading.Barrier(2, timeout=20)
    extract = discoverer.backbone.extract

    def meet_and_extract(*arguments):
        meeting.wait()
        return extract(*arguments)

    discoverer.backbone.extract = meet_and_extract
    results = Collected()
    run_batch(discoverer, photographs(4), results, BatchPlan("s", lanes=2))
    assert len(results.records) == 4


def test_a_picture_too_large_for_the_device_is_a_failure_of_its_own():
    results, _ = found(3, sizes=((80, 60), (400, 300), (80, 60)), fits=3 * 70 * 84)
    assert results.failures == [("1.jpg", "out-of-memory")]
    assert len(results.records) == 2


def test_pictures_are_read_only_a_bounded_number_ahead():
    taken = []

    def items():
        for number, item in enumerate(photographs(200)):
            taken.append(number)
            yield item

    results = Collected()
    seen = []
    results.add = lambda record: seen.append(len(taken) - len(seen))
    run_batch(stub_discoverer(), items(), results, BatchPlan("s", batch_size=2, workers=2))
    assert len(seen) == 200
    assert max(seen) < 30


def test_a_stop_finishes_what_is_begun_and_begins_nothing_new():
    results = Collected()
    run_batch(stub_discoverer(), photographs(500), results, BatchPlan("s"), stopped=lambda: len(results.records) >= 20)
    assert 20 <= len(results.records) < 40


def test_a_stop_during_a_forward_is_honoured_before_the_batch_that_waits_behind_it():
    discoverer, results, stop, begun = stub_discoverer(), Collected(), threading.Event(), []
    extract = discoverer.backbone.extract

    def stopped_meanwhile(inputs, *arguments):
        begun.append(len(inputs))
        time.sleep(0.3)  # the next batch is full and waits by now
        stop.set()
        return extract(inputs, *arguments)

    discoverer.backbone.extract = stopped_meanwhile
    run_batch(discoverer, photographs(20), results, BatchPlan("s", batch_size=4), stopped=stop.is_set)
    assert begun == [4]
    assert len(results.records) == 4


def test_a_full_disk_ends_the_run():
    results = Collected()

    def full(record):
        raise RunError("no space")

    results.add = full
    with pytest.raises(RunError, match="no space"):
        run_batch(stub_discoverer(), photographs(100), results, BatchPlan("s"))


def test_records_say_the_stored_frame_when_it_is_asked_for(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    item = ImageItem("a.jpg", "a.jpg", tmp_path / "a.jpg")
    for upright, wh in ((True, (40, 60)), (False, (60, 40))):
        results = Collected()
        run_batch(stub_discoverer(), [item], results, BatchPlan("s", upright=upright))
        (record,) = results.records
        assert (record.width, record.height) == wh
        assert (record.orientation, record.upright) == (6, upright)
        assert record.to_json()["frame"] == ("displayed" if upright else "stored")


def resident_megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_pipeline_keeps_up_and_its_memory_stays_flat(data_root, tmp_path):
    """5,500 VOC photographs through decode, graph and writing: at least 40 a second and core; RSS flat."""
    voc = data_root / "voc07" / "VOCdevkit" / "VOC2007"
    names = (voc / "ImageSets" / "Main" / "dev500.txt").read_text().split()
    items = (
        ImageItem(f"{turn}/{name}.jpg", name, voc / "JPEGImages" / f"{name}.jpg")
        for turn in range(11)
        for name in names
    )
    resident = []
    with RunFolder(tmp_path / "run", {}) as run:

        class Written(Collected):
            def add(self, record):
                run.add(record)
                if len(run.done) % 500 == 0:
                    resident.append(resident_megabytes())

        started = time.process_time()
        run_batch(stub_discoverer(), items, Written(), BatchPlan("s"))
        rate = len(run.done) / (time.process_time() - started)
        assert len(run.done) == 5500
    print(f"{rate:.0f} photographs per second of one core; resident MB every 500:", [round(m) for m in resident])
    assert rate >= 40
    assert max(resident[1:]) - resident[0] < 30
