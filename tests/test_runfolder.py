"""The run folder: nothing written is lost, nothing half-written is believed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import small_disk

from lostreg.errors import RunError
from lostreg.records import Record, RecordedObject
from lostreg.runfolder import RunFolder, cut_torn_line, differences
from lostreg.runreader import read_failures, read_header, read_open_calls, read_records, unfinished

IDENTITY = {"model": "a", "input": {"max_side": 640}}


def record(key="a.jpg", score=0.5):
    found = RecordedObject((1.0, 2.0, 30.5, 40.0), score, {"size": [40, 50], "counts": "X"}, (7.0, 7.0))
    return Record(key, f"/photos/{key}", 50, 40, 1, (found,), (3, 4), "abc", {"vit": 1.5})


def write(folder, keys, identity=IDENTITY, **options):
    with RunFolder(folder, identity, **options) as run:
        for key in keys:
            run.add(record(key))


def test_records_come_back_as_they_were(tmp_path):
    write(tmp_path / "run", ["a.jpg", "sub/ä\n.jpg"])
    assert list(read_records(tmp_path / "run")) == [record("a.jpg"), record("sub/ä\n.jpg")]
    assert read_header(tmp_path / "run")["identity"] == IDENTITY


def test_an_empty_run_has_no_records(tmp_path):
    write(tmp_path, [])
    assert list(read_records(tmp_path)) == []
    assert list(read_failures(tmp_path)) == []


def test_a_run_goes_on_where_it_was(tmp_path):
    write(tmp_path, ["a.jpg"])
    with RunFolder(tmp_path, IDENTITY) as run:
        assert run.done == {"a.jpg"}
        run.add(record("b.jpg"))
        run.fail("c.jpg", "c.jpg", "damaged", "cut")
    with RunFolder(tmp_path, IDENTITY) as run:
        assert (run.done, run.failed) == ({"a.jpg", "b.jpg"}, {"c.jpg"})
        run.add(record("c.jpg"))
        assert run.failed == set()
    with RunFolder(tmp_path, IDENTITY) as run:
        assert (run.done, run.failed) == ({"a.jpg", "b.jpg", "c.jpg"}, set())
    assert list(read_failures(tmp_path)) == []


def test_failures_are_settled_to_the_last_of_each_picture_without_a_record(tmp_path):
    with RunFolder(tmp_path, IDENTITY) as run:
        for key, sentence in (("a.jpg", "first"), ("b.jpg", "first"), ("c.jpg", "first"), ("b.jpg", "second")):
            run.fail(key, key, "damaged", sentence)
        run.add(record("a.jpg"))
        run.settle_failures()
        expected = [("b.jpg", "second"), ("c.jpg", "first")]
        assert [(each["key"], each["error"]) for each in read_failures(tmp_path)] == expected
        run.fail("d.jpg", "d.jpg", "damaged", "first")
    assert [each["key"] for each in read_failures(tmp_path)] == ["b.jpg", "c.jpg", "d.jpg"]


def test_a_last_line_torn_at_any_byte_is_cut_and_the_rest_kept(tmp_path):
    write(tmp_path, ["a.jpg", "b.jpg"])
    whole = (tmp_path / "records.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        (tmp_path / "records.jsonl").write_bytes(whole[:length])
        with RunFolder(tmp_path, IDENTITY) as run:
            assert run.done == {"a.jpg"}
        assert (tmp_path / "records.jsonl").read_bytes() == whole[:first]


def test_torn_tails_longer_than_a_block_are_cut(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"x\n" + b"y" * 200_000)
    assert cut_torn_line(path) == 200_000
    assert path.read_bytes() == b"x\n"
    path.write_bytes(b"z" * 100)
    assert cut_torn_line(path) == 100
    assert cut_torn_line(tmp_path / "none") == 0


def test_readers_leave_a_torn_line_out(tmp_path):
    write(tmp_path, ["a.jpg", "b.jpg"])
    content = (tmp_path / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(content[:-5])
    assert [each.key for each in read_records(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"key": "a"}\n', b"[]\n", b"null\n"])
def test_damage_before_the_end_is_named_by_its_line(tmp_path, line):
    write(tmp_path, ["a.jpg"])
    whole = (tmp_path / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(whole + line + whole)
    with pytest.raises(RunError, match="line 2"):
        list(read_records(tmp_path))


def test_other_settings_are_refused_with_the_difference(tmp_path):
    write(tmp_path, ["a.jpg"])
    with pytest.raises(RunError, match=r"input.max_side: 640 -> 320"):
        write(tmp_path, ["b.jpg"], {"model": "a", "input": {"max_side": 320}})
    write(tmp_path, ["b.jpg"], {"model": "b"}, overwrite=True)
    assert [each.key for each in read_records(tmp_path)] == ["b.jpg"]


def test_differences_name_every_leaf():
    assert differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}, "d": 4}) == ["b.c: 2 -> 3", "d: None -> 4"]
    assert differences({}, {}) == []


@pytest.mark.parametrize("foreign", ["records.jsonl", "failures.jsonl", "overlays/a.jpg"])
def test_overwriting_deletes_nothing_of_others(tmp_path, foreign):
    path = tmp_path / foreign
    path.parent.mkdir(exist_ok=True)
    path.write_text("somebody's\n")
    with pytest.raises(RunError, match="is no run folder"):
        write(tmp_path, ["a.jpg"], overwrite=True)
    assert path.read_text() == "somebody's\n"


def test_overwriting_refuses_what_another_program_calls_run_json(tmp_path):
    (tmp_path / "overlays").mkdir()
    for name in ("run.json", "overlays/a.jpg"):
        (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(RunError, match="is not of format 1"):
        write(tmp_path, ["a.jpg"], overwrite=True)
    assert (tmp_path / "overlays" / "a.jpg").exists()


def test_a_run_does_not_begin_where_its_overlays_would_mix_with_others(tmp_path):
    (tmp_path / "overlays").mkdir()
    (tmp_path / "overlays" / "mine.jpg").touch()
    with pytest.raises(RunError, match="is there already and of no run"):
        write(tmp_path, ["a.jpg"])
    assert not (tmp_path / "run.json").exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(RunError, match="Expected a folder for the run at"):
        write(tmp_path / "run", [])


def call(*sources):
    return {"sources": list(sources), "dataset": None}


def test_a_run_is_complete_when_every_call_that_was_begun_did_its_pictures(tmp_path):
    states = []
    for name, keys, finished in (("a", ["1", "2"], False), ("b", ["3"], True), ("a", ["1"], False), ("a", ["1"], True)):
        with RunFolder(tmp_path, IDENTITY) as run:
            run.begin(call(name), keys)
            states.append(read_header(tmp_path)["state"])
            run.end(call(name), finished=finished)
            states.append(read_header(tmp_path)["state"])
        assert bool(read_open_calls(tmp_path)) == (states[-1] == "stopped")
    assert states == ["running", "stopped"] * 3 + ["running", "complete"]


@pytest.mark.parametrize(
    ("keys", "state"), [(["a.jpg", "b.jpg"], "complete"), (["c.jpg"], "stopped"), (None, "stopped")]
)
def test_a_call_is_done_by_whichever_call_does_its_pictures(tmp_path, keys, state):
    with RunFolder(tmp_path, IDENTITY) as run:
        run.begin(call("photos/"), keys)
        run.add(record("a.jpg"))
    with RunFolder(tmp_path, IDENTITY) as run:
        run.begin(call("photos"), ["b.jpg"])
        run.fail("b.jpg", "b.jpg", "damaged", "cut")
        run.end(call("photos"), finished=True)
    assert read_header(tmp_path)["state"] == state


@pytest.mark.parametrize("text", ["{", "[1]", '[{"call": 1}]', '[{"call": {}, "keys": 3}]'])
def test_damaged_open_calls_are_refused(tmp_path, text):
    write(tmp_path, [])
    (tmp_path / "open.json").write_text(text)
    with pytest.raises(RunError, match=r"open\.json is damaged"):
        write(tmp_path, [])
    (tmp_path / "open.json").write_text("")
    write(tmp_path, ["a.jpg"])


def test_a_failure_whose_picture_has_a_record_under_another_key_is_settled(tmp_path):
    with RunFolder(tmp_path, IDENTITY) as run:
        run.fail("sub/a.jpg", "/photos/a.jpg", "damaged", "cut")
        run.fail("gone.jpg", "/photos/gone.jpg", "damaged", "cut")
        run.add(record("a.jpg"))
        run.settle_failures(gone={"gone.jpg"})
        assert run.failed == set()
    assert list(read_failures(tmp_path)) == []


def test_overwriting_takes_overlays_along_and_leaves_other_files(tmp_path):
    write(tmp_path, ["a.jpg"])
    (tmp_path / "overlays").mkdir()
    (tmp_path / "notes.txt").touch()
    write(tmp_path, ["b.jpg"], overwrite=True)
    assert not (tmp_path / "overlays").exists()
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("name", ["records.jsonl", "failures.jsonl"])
def test_what_is_no_file_of_lines_is_refused(tmp_path, name):
    write(tmp_path, [])
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    read = {"records.jsonl": read_records, "failures.jsonl": read_failures}[name]
    with pytest.raises(RunError, match=f"Cannot read .*{name}: it is no regular file"):
        list(read(tmp_path))


def test_a_run_tells_whether_it_is_finished():
    assert [unfinished({}), unfinished({"state": "complete"})] == [None, None]
    for state in ("running", "stopped"):
        assert f"not finished (state: {state})" in unfinished({"state": state})


def test_a_lock_that_vanishes_ends_the_run_before_two_write_to_it(tmp_path):
    with RunFolder(tmp_path, IDENTITY) as first:
        first.add(record("a.jpg"))
        (tmp_path / "run.lock").unlink()
        with RunFolder(tmp_path, IDENTITY) as second:
            with pytest.raises(RunError, match=r"its run\.lock was deleted"):
                first.add(record("b.jpg"))
            second.add(record("b.jpg"))
    assert [each.key for each in read_records(tmp_path)] == ["a.jpg", "b.jpg"]


def test_folders_that_are_no_run_are_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        read_header(tmp_path)
    (tmp_path / "records.jsonl").write_text(record().to_line() + "\n")
    with pytest.raises(RunError, match="records but no"):
        write(tmp_path, [])
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match="Cannot read"):
        read_header(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="format 1"):
        read_header(tmp_path)
    (tmp_path / "run.json").write_text("[" * 200_000)
    with pytest.raises(RunError, match="Cannot read"):
        read_header(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"identity": None},
        {"identity": [1]},
        {"updated": None},
        {"created": 3},
        {"timings": None},
        {"timings": {"seconds": "x"}},
        {"weights": "a"},
        {"listed": "7"},
        {"shard": 3},
    ],
)
def test_a_damaged_header_is_named_by_its_field(tmp_path, damage):
    write(tmp_path, ["a.jpg"])
    header = json.loads((tmp_path / "run.json").read_text())
    assert read_header(tmp_path) == header
    (tmp_path / "run.json").write_text(json.dumps(header | damage))
    with pytest.raises(RunError, match=rf"run\.json is damaged: {next(iter(damage))} "):
        read_header(tmp_path)


@pytest.mark.parametrize("line", ["[]", "{}", '{"key": "a.jpg"}', '{"key": 1, "path": "", "reason": "", "error": ""}'])
def test_a_damaged_failure_is_named_by_its_line(tmp_path, line):
    write(tmp_path, [])
    (tmp_path / "failures.jsonl").write_text(line + "\n")
    with pytest.raises(RunError, match=r"failures\.jsonl, line 1: expected the texts key, path, reason, error"):
        write(tmp_path, [])


HOLDER = """
import sys, time
from pathlib import Path
from lostreg.runfolder import RunFolder
with RunFolder(Path(sys.argv[1]), {}) as run:
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_folder_and_takes_over_after_a_kill(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(RunError, match=f"being written by process {holder.pid}"):
            write(tmp_path, [], {})
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    write(tmp_path, ["a.jpg"], {})
    assert [each.key for each in read_records(tmp_path)] == ["a.jpg"]


def test_a_full_disk_is_named_and_nothing_written_is_lost(tmp_path):
    with small_disk(tmp_path / "small", 96) as small:
        with pytest.raises(RunError, match="No space left"):
            write(small / "run", [f"{number:05d}.jpg" for number in range(5000)])
        kept = [each.key for each in read_records(small / "run")]
        assert len(kept) > 50
        assert kept == [f"{number:05d}.jpg" for number in range(len(kept))]
        write(tmp_path / "copy", [])
        shutil.copy(small / "run" / "records.jsonl", tmp_path / "copy" / "records.jsonl")
        with RunFolder(tmp_path / "copy", IDENTITY) as run:
            assert run.done == set(kept)


@pytest.mark.parametrize("kilobytes", range(24, 224, 10))
def test_a_disk_that_fills_up_anywhere_costs_only_what_was_not_written(tmp_path, kilobytes):
    with small_disk(tmp_path / "small", 256) as small:
        (small / "filler").write_bytes(b"x" * kilobytes * 1024)
        written = []

        def fill():
            with RunFolder(small / "run", IDENTITY) as run:
                for number in range(5000):
                    run.add(record(f"{number}.jpg"))
                    written.append(f"{number}.jpg")

        with pytest.raises(RunError, match="No space left"):
            fill()
        (small / "filler").unlink()
        with RunFolder(small / "run", IDENTITY) as run:
            assert run.done == set(written)
            run.add(record("after.jpg"))
        assert [each.key for each in read_records(small / "run")] == [*written, "after.jpg"]


@pytest.mark.parametrize("happens", [shutil.rmtree, lambda run: run.rename(run.with_name("moved"))])
@pytest.mark.parametrize("then", [lambda run: run.add(record("b.jpg")), lambda run: run.save_header(state="complete")])
def test_a_folder_that_vanishes_is_noticed_and_not_made_anew(tmp_path, happens, then):
    path = tmp_path / "run"
    with RunFolder(path, IDENTITY) as run:
        run.add(record("a.jpg"))
        happens(path)
        with pytest.raises(RunError, match="deleted, moved or replaced"):
            then(run)
    assert not path.exists()


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_folder_name_that_cannot_be_is_refused(tmp_path, name):
    with pytest.raises(RunError, match="Cannot write to the run folder"):
        write(tmp_path / name, ["a.jpg"])


def test_a_pipe_for_a_header_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(RunError, match="not a run folder"):
        read_header(tmp_path)


def test_a_folder_that_cannot_be_made_is_named():
    with pytest.raises(RunError, match="Cannot write to the run folder"):
        write(Path("/proc/nothing/here"), [])


def test_the_schema_is_the_published_one():
    line = json.loads(record().to_line())
    assert list(line) == [
        "key",
        "path",
        "width",
        "height",
        "orientation",
        "frame",
        "objects",
        "grid_hw",
        "settings",
        "ms",
    ]
    assert list(line["objects"][0]) == ["bbox_xyxy", "score", "mask", "seed_xy"]
