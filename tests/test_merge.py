"""Shards joined, and everything that must be refused."""

from __future__ import annotations

import json

import pytest
from small_runs import IDENTITY, found, record

from lostreg.errors import RunError
from lostreg.merge import merge_runs
from lostreg.runfolder import RunFolder
from lostreg.runreader import read_failures, read_header, read_records, unfinished
from lostreg.sources import in_shard
from lostreg.tally import Tally

KEYS = [f"{number}.jpg" for number in range(40)]


def shard(folder, index, count, *, keys=KEYS, identity=IDENTITY, state="complete", listed=40):
    with RunFolder(folder, identity) as run:
        for key in keys:
            if in_shard(key, (index, count)):
                if key == "7.jpg":
                    run.fail(key, key, "damaged", "cut")
                else:
                    run.add(record(key, [found((0, 0, 10, 10))]))
        run.save_header(shard=f"{index}/{count}", state=state, listed=listed, listed_keys=Tally(KEYS).digest)
    overlay = folder / "overlays" / f"{index}.jpg"
    overlay.parent.mkdir()
    overlay.write_bytes(b"x")
    return folder


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_shards_join_to_the_whole(tmp_path, count):
    shards = [shard(tmp_path / str(i), i, count) for i in range(1, count + 1)]
    merged = merge_runs(list(reversed(shards)), tmp_path / "all")
    assert (merged.records, merged.failures) == (39, 1)
    assert sorted([r.key for r in read_records(tmp_path / "all")] + ["7.jpg"]) == sorted(KEYS)
    assert [failure["key"] for failure in read_failures(tmp_path / "all")] == ["7.jpg"]
    assert read_header(tmp_path / "all")["state"] == "complete"
    assert len(list((tmp_path / "all" / "overlays").iterdir())) == count


def test_what_does_not_add_up_is_refused(tmp_path):
    one, two, three = (shard(tmp_path / str(i), i, 3) for i in (1, 2, 3))
    cases = [
        ([one, two], "Shard 3/3 is missing"),
        ([one, two, two], "are both shard 2/3"),
        ([one, two, shard(tmp_path / "a", 3, 3, state="stopped")], "not finished"),
        ([one, two, shard(tmp_path / "b", 3, 3, identity={"settings": {"method": "x"}})], "method: lost -> x"),
        ([one, two, shard(tmp_path / "c", 3, 4)], "different divisions"),
        ([one, two, shard(tmp_path / "d", 3, 3, keys=KEYS[:20])], "of the 40 pictures"),
        ([one, two, shard(tmp_path / "e", 3, 3, listed=41)], "different numbers"),
        ([one, two, tmp_path / "nowhere"], "not a run folder"),
    ]
    for number, (shards, sentence) in enumerate(cases):
        with pytest.raises(RunError, match=sentence):
            merge_runs(shards, tmp_path / f"out{number}")
    merge_runs([one, two, three], tmp_path / "all")
    with pytest.raises(RunError, match="is a run folder already"):
        merge_runs([one, two, three], tmp_path / "all")
    with pytest.raises(RunError, match="made without --shard"):
        merge_runs([tmp_path / "all"], tmp_path / "again")


def test_shards_of_other_pictures_are_refused_though_the_numbers_add_up(tmp_path):
    others = [f"other/{number}.jpg" for number in range(100)]
    some = [key for key in others if in_shard(key, (2, 2))]
    needed = sum(in_shard(key, (2, 2)) for key in KEYS)
    two = shard(tmp_path / "2", 2, 2, keys=some[:needed])
    assert len(some) >= needed
    with pytest.raises(RunError, match="did not all list the pictures that they hold"):
        merge_runs([shard(tmp_path / "1", 1, 2), two], tmp_path / "all")


def test_shards_that_hold_more_than_they_listed_in_the_end_are_refused_with_a_way_out(tmp_path):
    with pytest.raises(RunError, match=r"hold 40 pictures, but listed 39 in the end.*--retry-failed"):
        merge_runs([shard(tmp_path / "1", 1, 1, listed=39)], tmp_path / "all")


def test_a_merge_that_was_broken_off_says_so_and_is_begun_anew(tmp_path, monkeypatch):
    shards = [shard(tmp_path / str(i), i, 2) for i in (1, 2)]

    def fail(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "fail", fail)
        with pytest.raises(KeyboardInterrupt):
            merge_runs(shards, tmp_path / "all")
    assert "not finished (state: merging)" in unfinished(read_header(tmp_path / "all"))
    assert merge_runs(shards, tmp_path / "all").records == 39
    assert unfinished(read_header(tmp_path / "all")) is None


def test_a_damaged_shard_is_refused(tmp_path):
    one, two, nonsense = shard(tmp_path / "1", 1, 2), shard(tmp_path / "2", 2, 2), shard(tmp_path / "3", 2, 2)
    header = json.loads((nonsense / "run.json").read_text())
    (nonsense / "run.json").write_text(json.dumps(header | {"shard": "9/2"}))
    with pytest.raises(RunError, match="its shard is '9/2'"):
        merge_runs([one, nonsense], tmp_path / "all")
    lines = (two / "records.jsonl").read_bytes()
    (two / "records.jsonl").write_bytes(lines + lines.splitlines(keepends=True)[0])
    with pytest.raises(RunError, match="holds two records of"):
        merge_runs([one, two], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_picture_in_two_shards_is_refused(tmp_path):
    one, two = shard(tmp_path / "1", 1, 2), shard(tmp_path / "2", 2, 2)
    double = next(read_records(one))
    with RunFolder(two, IDENTITY) as run:
        run.add(double)
    with pytest.raises(RunError, match="stands in"):
        merge_runs([one, two], tmp_path / "all")
