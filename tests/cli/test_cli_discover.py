"""``lostreg discover`` as a user runs it, with the real ViT."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support import picture, small_disk

from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import main
from lostreg.cli.discover import _plan
from lostreg.engines import make_engine, native_precisions
from lostreg.runfolder import RunFolder
from lostreg.runreader import read_failures, read_header, read_records

pytestmark = pytest.mark.weights
NAMED = ("--model", OFFLINE_MODEL)
MODEL = (*NAMED, "--engine", "torch", "--quiet")


@pytest.fixture(autouse=True)
def _weights(offline_weights):
    """Skip where the weights cannot be had."""


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "a.png", "sub/a.jpg"):
        picture(folder / name)
    return folder


def test_a_folder_becomes_a_run(photos, tmp_path):
    run = tmp_path / "run"
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    records = {record.key: record for record in read_records(run)}
    assert records.keys() == {"a.jpg", "a.png", "sub/a.jpg"}
    for record in records.values():
        assert (record.width, record.height, record.grid_hw) == (80, 60, (5, 6))
        (found,) = record.objects
        x0, y0, x1, y1 = found.bbox_xyxy
        assert 0 <= x0 < x1 <= 80
        assert 0 <= y0 < y1 <= 60
        with Image.open(run / "overlays" / f"{record.key}.jpg") as overlay:
            assert overlay.size == (80, 60)
    header = read_header(run)
    assert header["state"] == "complete"
    assert header["counts"] == {"done": 3, "failed": 0, "in_this_call": 3}
    assert header["identity"]["model"] == OFFLINE_MODEL
    assert len(header["weights"]["sha256"]) == 64


def test_bad_input_costs_itself_and_the_exit_code_says_so(photos, tmp_path, capfd):
    (photos / "text.jpg").write_text("no picture")
    (photos / "empty.jpg").touch()
    whole = (photos / "a.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    run = tmp_path / "run"
    assert main(["discover", str(photos), str(tmp_path / "no.jpg"), "--output", str(run), *MODEL]) == 3
    assert len(list(read_records(run))) == 3
    reasons = {failure["key"]: failure["reason"] for failure in read_failures(run)}
    assert reasons == {"text.jpg": "not-an-image", "empty.jpg": "empty", "cut.jpg": "damaged", "no.jpg": "missing"}
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert error.count("lostreg:") == 4


def test_the_same_command_resumes_and_only_failures_are_retried(photos, tmp_path, monkeypatch):
    (photos / "late.jpg").write_text("no picture yet")
    run = tmp_path / "run"
    command = ["discover", str(photos), "--output", str(run), *MODEL]
    assert main(command) == 3
    picture(photos / "late.jpg")
    read = []
    from lostreg.sources import ImageItem

    real = ImageItem.read
    monkeypatch.setattr(ImageItem, "read", lambda self, **options: read.append(self.key) or real(self, **options))
    assert main(command) == 3
    assert read == []
    assert main([*command, "--retry-failed"]) == 0
    assert read == ["late.jpg"]
    assert len(list(read_records(run))) == 4
    assert list(read_failures(run)) == []


def test_retrying_other_pictures_forgets_no_failure(photos, tmp_path):
    (photos / "bad.jpg").write_text("no picture")
    run = tmp_path / "run"
    assert main(["discover", str(photos / "bad.jpg"), "--output", str(run), *MODEL]) == 3
    assert main(["discover", str(photos / "a.jpg"), "--output", str(run), "--retry-failed", *MODEL]) == 3
    assert [failure["key"] for failure in read_failures(run)] == ["bad.jpg"]
    assert read_header(run)["counts"] == {"done": 1, "failed": 1, "in_this_call": 1}


def test_a_reader_that_goes_away_leaves_a_run_that_says_it_is_not_finished(photos, tmp_path):
    for number in range(6):
        picture(photos / f"{number}.jpg")
    run = tmp_path / "run"
    started = start(photos, run, "--json")
    first = json.loads(started.stdout.readline())
    started.stdout.close()
    said = started.stderr.read()
    started.stderr.close()
    assert started.wait(timeout=60) == 141
    assert "Traceback" not in said
    done = [record.key for record in read_records(run)]
    assert first["key"] in done
    assert len(done) < 9
    assert read_header(run)["state"] == "stopped"
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    assert len(list(read_records(run))) == 9
    assert read_header(run)["state"] == "complete"


def test_another_picture_of_the_same_name_gets_a_key_of_its_own_in_any_folder(photos, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    for folder in (photos, photos / "sub", photos, photos / "sub"):
        monkeypatch.chdir(folder)
        assert main(["discover", "a.jpg", "--output", str(run), *MODEL]) == 0
    paths = [record.path for record in read_records(run)]
    assert paths == [str(photos / "a.jpg"), str(photos / "sub" / "a.jpg")]
    assert capsys.readouterr().err == ""


def test_pictures_whose_folder_was_moved_are_left_out_loudly(photos, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    photos.rename(tmp_path / "moved")
    picture(tmp_path / "moved" / "new.jpg")
    assert main(["discover", str(tmp_path / "moved"), "--output", str(run), *MODEL]) == 0
    assert "3 pictures, such as a.jpg, were left out" in capsys.readouterr().err
    assert len(list(read_records(run))) == 4


def test_an_archive_is_the_same_however_its_path_is_typed(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tarfile.open("a.tar", "w") as archive:
        archive.add(photos, "photos")
        archive.add(photos / "a.jpg", "photos/a.jpg")
    for typed in ("a.tar", "./a.tar", str(tmp_path / "a.tar")):
        assert main(["discover", typed, "--output", "run", *MODEL]) == 0
    assert len(list(read_records(tmp_path / "run"))) == 4


def test_a_failure_mended_under_another_key_is_mended(photos, tmp_path):
    bad = photos / "sub" / "bad.jpg"
    bad.write_text("no picture")
    run = tmp_path / "run"
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 3
    picture(bad)
    assert main(["discover", str(bad), "--retry-failed", "--output", str(run), *MODEL]) == 0
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    assert sorted(record.key for record in read_records(run)) == ["a.jpg", "a.png", "bad.jpg", "sub/a.jpg"]


def test_what_a_source_has_no_more_fails_no_more(photos, tmp_path):
    """An archive that was damaged, a source that was missing, a picture that was deleted; then shards that merge."""
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        archive.add(photos, "photos")
    whole = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:4000])
    (photos / "bad.jpg").write_text("no picture")
    run = tmp_path / "run"
    command = ["discover", str(photos), str(tmp_path / "a.tar"), str(tmp_path / "late"), "--output", str(run), *MODEL]
    command += ["--shard", "1/1"]
    assert main(command) == 3
    assert {failure["reason"] for failure in read_failures(run)} >= {"damaged", "missing", "not-an-image"}
    (tmp_path / "a.tar").write_bytes(whole)
    (photos / "bad.jpg").unlink()
    (tmp_path / "late").mkdir()
    picture(tmp_path / "late" / "late.jpg")
    assert main([*command, "--retry-failed"]) == 0
    assert main(["merge", str(run), "--output", str(tmp_path / "all")]) == 0
    assert len(list(read_records(tmp_path / "all"))) == 7


def test_a_stopped_call_is_complete_when_another_has_done_its_pictures(photos, tmp_path):
    run = tmp_path / "run"
    assert main(["discover", str(photos / "a.jpg"), "--output", str(run), *MODEL]) == 0
    with RunFolder(run, read_header(run)["identity"]) as folder:
        folder.begin({"sources": [f"{photos}/"]}, ["a.jpg", "a.png", "sub/a.jpg"])
    assert read_header(run)["state"] == "running"
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    assert read_header(run)["state"] == "complete"


def test_the_order_of_sources_doubles_and_drops_no_picture(photos, tmp_path, capsys):
    run = tmp_path / "run"
    sources = [str(photos / "a.jpg"), str(photos / "sub" / "a.jpg")]
    for order in (sources, sources[::-1], sources):
        assert main(["discover", *order, "--output", str(run), *MODEL]) == 0
    assert sorted(record.path for record in read_records(run)) == sorted(sources)
    assert capsys.readouterr().err == ""


def test_a_later_call_with_fewer_pictures_does_not_complete_a_stopped_run(photos, tmp_path):
    for number in range(6):
        picture(photos / f"{number}.jpg")
    run = tmp_path / "run"
    process = start(photos, run)
    while not (run / "records.jsonl").exists() or not (run / "records.jsonl").stat().st_size:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    timings = read_header(run)["timings"]
    assert main(["discover", str(photos / "a.png"), "--output", str(run), *MODEL]) == 0
    assert read_header(run)["state"] == "stopped"
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    header = read_header(run)
    assert (header["state"], header["listed"], len(list(read_records(run)))) == ("complete", 9, 9)
    assert header["timings"] != timings
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    assert read_header(run)["timings"] == header["timings"]


def test_a_run_folder_is_of_one_shard(photos, tmp_path, capsys):
    run = tmp_path / "run"
    command = ["discover", str(photos), "--output", str(run), *MODEL]
    assert main([*command, "--shard", "1/2"]) == 0
    assert main([*command, "--shard", "2/2"]) == 6
    assert "was made with --shard 1/2, and now it is 2/2" in capsys.readouterr().err
    assert main(command) == 6
    assert main([*command, "--shard", "1/2"]) == 0


def test_whether_there_are_overlays_hangs_on_the_whole_run(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lostreg.cli.discover.OVERLAYS_UP_TO", 2)
    run = tmp_path / "run"
    assert main(["discover", str(photos / "a.png"), "--output", str(run), "--no-overlays", *MODEL]) == 0
    assert main(["discover", str(photos), "--output", str(run), *MODEL]) == 0
    assert not (run / "overlays").exists()
    command = ["discover", str(photos), "--output", str(run), "--overlays", *NAMED, "--engine", "torch"]
    assert main(command) == 0
    assert "3 pictures are already in" in (said := capsys.readouterr().err)
    assert "which get no overlays now" in said


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_shards_of_an_archive_join_to_all_of_it(photos, tmp_path, suffix):
    with tarfile.open(tmp_path / f"a{suffix}", "w:gz" if suffix.endswith("gz") else "w") as archive:
        archive.add(photos, "photos")
    for index in (1, 2):
        command = ["discover", str(tmp_path / f"a{suffix}"), "--output", str(tmp_path / f"{index}")]
        assert main([*command, "--shard", f"{index}/2", *MODEL]) == 0
    assert main(["merge", str(tmp_path / "1"), str(tmp_path / "2"), "--output", str(tmp_path / "all")]) == 0
    assert len(list(read_records(tmp_path / "all"))) == 3


def test_repeating_a_run_that_lies_among_its_photographs_finds_no_new_ones(photos):
    command = ["discover", str(photos), "--output", str(photos / "run"), *MODEL]
    assert main(command) == 0
    assert len(list((photos / "run" / "overlays").rglob("*.jpg"))) == 3
    assert main(command) == 0
    assert len(list(read_records(photos / "run"))) == 3


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_outside_the_encoding_of_the_terminal_pass(photos, encoding):
    name = os.fsdecode(b"n\xff.jpg")
    (photos / "a.jpg").rename(photos / name)
    for arguments, listed in (([str(photos / name)], b""), (["-"], os.fsencode(photos / name))):
        done = subprocess.run(
            [sys.executable, "-m", "lostreg", "discover", *arguments, *MODEL],
            input=listed,
            capture_output=True,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": f"{encoding}:strict"},
        )
        assert done.returncode == 0, done.stderr
        assert b"n\\udcff.jpg" in done.stdout


def test_the_engine_that_auto_takes_is_recorded_and_stays_that_of_the_run(photos, tmp_path, monkeypatch, capsys):
    pytest.importorskip("openvino")
    command = ["discover", str(photos), "--output", str(tmp_path / "run"), *NAMED]
    assert main(command) == 0
    header = read_header(tmp_path / "run")
    assert (header["identity"]["engine"], header["engine_note"]) == ("openvino", None)
    assert main([*command, "--engine", "torch"]) == 6
    assert "engine: openvino -> torch" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main(command) == 2
    assert "--engine openvino needs OpenVINO, which is not installed" in capsys.readouterr().err


def test_common_grids_are_those_of_all_pictures_whatever_is_done_already(photos, tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    if "bf16" not in native_precisions(torch.device("cpu")):
        pytest.skip("this CPU has no bf16, in which alone common grids gain")
    monkeypatch.setattr("lostreg.grids.WORTH_A_MODEL", 3)
    told = []
    monkeypatch.setattr("lostreg.discover.make_engine", lambda *given: told.append(given[4:]) or make_engine(*given))
    run = tmp_path / "run"
    command = ["discover", str(photos), "--output", str(run), *NAMED, "--engine", "openvino", "--precision", "bf16"]
    assert main(command) == 0
    whole = (run / "records.jsonl").read_text()
    (run / "records.jsonl").write_text("".join(whole.splitlines(keepends=True)[:-1]))
    assert main(command) == 0
    assert main([*command[:2], "--output", str(tmp_path / "shard"), *command[4:], "--shard", "1/3"]) == 0
    assert told == [(), ([(5, 6)],)] * 3
    assert read_header(run)["grids_of_their_own"] == [[5, 6]]
    found = [
        [each["objects"] for each in map(json.loads, text.splitlines())]
        for text in (whole, (run / "records.jsonl").read_text())
    ]
    assert found[0] == found[1]


def test_why_auto_takes_torch_is_said_once_and_recorded(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main(["discover", str(photos), "--output", str(tmp_path / "run"), *NAMED]) == 0
    header = read_header(tmp_path / "run")
    assert header["identity"]["engine"] == "torch"
    assert "is not installed" in header["engine_note"]
    assert capsys.readouterr().err.count(header["engine_note"]) == 1


def test_other_settings_are_refused_and_overwrite_starts_anew(photos, tmp_path, capsys):
    run = tmp_path / "run"
    command = ["discover", str(photos), "--output", str(run), *MODEL]
    assert main(command) == 0
    assert main([*command, "--objects", "2"]) == 6
    assert "objects: 1 -> 2" in capsys.readouterr().err
    assert main([*command, "--objects", "2", "--overwrite"]) == 0
    assert read_header(run)["identity"]["objects"] == 2
    assert max(len(record.objects) for record in read_records(run)) == 2


@pytest.mark.parametrize(
    ("device", "asked", "batch_size", "workers"),
    [("cpu", (None, None), 1, 2), ("cuda", (None, None), 16, 5), ("cuda", (4, 1), 4, 1), ("cpu", (8, 3), 8, 3)],
)
def test_a_gpu_gets_larger_batches_and_a_decoder_for_every_core(device, asked, batch_size, workers, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    args = SimpleNamespace(batch_size=asked[0], workers=asked[1], dataset=None, max_pixels=None)
    vit = SimpleNamespace(backbone=SimpleNamespace(device=torch.device(device)), engine=SimpleNamespace(lanes=1))
    plan = _plan(args, vit, {})
    assert (plan.batch_size, plan.workers) == (batch_size, workers)


def test_json_lines_go_to_stdout_and_nothing_else(photos, capsys):
    assert main(["discover", str(photos), "--json", *MODEL]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["key"] for line in lines) == ["a.jpg", "a.png", "sub/a.jpg"]


def test_settings_come_from_the_command_line_before_the_file_before_the_preset(photos, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text('method = "lost"\nfeature = "q"\nk-patches = 0.2\noffset = "mean"\nmax-side = 56\n')
    run = tmp_path / "run"
    command = ["discover", str(photos), "--output", str(run), "--config", str(config), *MODEL]
    assert main([*command, "--feature", "x"]) == 0
    identity = read_header(run)["identity"]
    given = {name: identity[name] for name in ("feature", "k_patches", "offset", "max_side", "objects")}
    assert given == {"feature": "x", "k_patches": 0.2, "offset": "mean", "max_side": 56, "objects": 1}


REFUSED = [
    (["--model", "dinov2-s14-imgfocs"], 4, "did you mean dinov2-s14-imgfocus"),
    (["--checkpoint", "no.pth"], 4, "No checkpoint file"),
    (["--device", "cuda:77"], 2, "--device cuda:77"),
    (["--max-side", "3"], 2, "at least one patch"),
    (["--shard", "5/4"], 2, "--shard must be i/n"),
    (["--batch-size", "0"], 2, "--batch-size must be at least 1"),
    (["--workers", "5000"], 2, "--workers must be at most 1024"),
    (["--views", "99999999999"], 2, "--views must be from 1 to 1000"),
    (["--objects", "10001"], 2, "--objects must be auto or a whole number from 1 to 10000"),
    (["--offset", "1e308"], 2, "--offset must be none, mean, a number up to 1e+30"),
    (["--model", f"{OFFLINE_MODEL}@zzz"], 4, "has one revision"),
    (["--retry-failed"], 2, "needs a run folder"),
    (["--dataset", "voc07", "--root", "."], 2, "either the pictures"),
    (["--split", "trainval"], 2, "--split says which annotations"),
    (["--config", "no.toml"], 2, "Cannot read the settings"),
    (["--method", "magic"], 2, "--method must be one of"),
]


@pytest.mark.parametrize(("options", "code", "sentence"), REFUSED)
def test_what_makes_no_sense_is_one_sentence(photos, capsys, options, code, sentence):
    model = [] if {"--model", "--checkpoint"} & set(options) else ["--model", OFFLINE_MODEL]
    assert main(["discover", str(photos), *model, *options]) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--k-patches", "many"],
        ["--k-patches", "1" * 5000],
        ["--objects", "some"],
        ["--objects", "\u00b2"],
        ["--objects", "1" * 5000],
        ["--precision", "fp8"],
        ["--output", ""],
    ],
)
def test_argparse_refuses_with_exit_code_2(photos, options):
    with pytest.raises(SystemExit) as caught:
        main(["discover", str(photos), *options])
    assert caught.value.code == 2


def test_config_files_with_unknown_options_get_a_suggestion(photos, tmp_path, capsys):
    (tmp_path / "s.toml").write_text("max_sid = 3\n")
    assert main(["discover", str(photos), "--config", str(tmp_path / "s.toml"), *MODEL]) == 2
    assert "did you mean 'max-side'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("max-side = true", "sets max-side to True, but it must be a whole number."),
        ("layer = 1.5", "sets layer to 1.5, but it must be a whole number."),
        ("model = 3", "sets model to 3, but it must be text."),
        ("[head]", "sets head to {}, but it must be text."),
        ("offset = [1]", "sets offset to [1], but it must be text or a whole number or a number."),
        ("k-patches = 'a'", "sets k-patches to 'a', but it must be a whole number or a number."),
        ("objects = 'many'", "--objects must be auto or a whole number from 1"),
        ("k-patches = inf", "--k-patches must be a number, but it is 'inf'."),
        (f"offset = {'[' * 2000}{']' * 2000}", "Cannot read the settings"),
    ],
)
def test_config_files_with_values_of_a_wrong_kind_are_refused(photos, tmp_path, capsys, line, says):
    (tmp_path / "s.toml").write_text(line + "\n")
    assert main(["discover", str(photos), "--config", str(tmp_path / "s.toml"), "--engine", "torch", "--quiet"]) == 2
    assert says in capsys.readouterr().err


def start(photos, run, *options):
    command = [sys.executable, "-m", "lostreg", "discover", str(photos), "--output", str(run), *MODEL, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


COUNTING = """
import sys
from lostreg import batch
from lostreg.cli import main

extract = batch._extract

def counted(flow, pictures):
    with open(sys.argv[1], "ab", buffering=0) as begun:
        begun.write(b"." * len(pictures))
    return extract(flow, pictures)

batch._extract = counted
sys.exit(main(sys.argv[2:]))
"""
"""Runs lostreg, and writes a point for every picture that the ViT begins with."""

IN_FLIGHT = 3
"""With batches of one picture and one lane: one in the ViT, one being finished, one waiting for that."""


def killed(photos, run, condition, *options):
    """Start a run, kill it once a condition holds; return the records it won and the pictures it had to begin for."""
    begun, before = run.with_suffix(".begun"), lines_in(run)
    begun.write_bytes(b"")
    command = [sys.executable, "-c", COUNTING, str(begun), "discover", str(photos), "--output", str(run)]
    process = subprocess.Popen([*command, *MODEL, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    condition(before)
    process.kill()
    process.communicate()
    return lines_in(run) - before, begun.stat().st_size


def lines_in(run):
    path = run / "records.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(60):
        rgb = generator.integers(0, 256, size=(112, 140, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(folder / f"{number:03d}.jpg")
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_in_order_behind_the_pictures_in_flight(many, tmp_path, number, code):
    process = start(many, tmp_path / "run")
    wait_for(lambda: lines_in(tmp_path / "run") >= 3)
    process.send_signal(number)
    at_the_signal = lines_in(tmp_path / "run")
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in error
    done = lines_in(tmp_path / "run")
    assert done - at_the_signal <= 6
    assert done < 60
    assert read_header(tmp_path / "run")["state"] == "stopped"
    assert main(["discover", str(many), "--output", str(tmp_path / "run"), *MODEL]) == 0
    assert lines_in(tmp_path / "run") == 60


def test_a_second_signal_ends_at_once(many, tmp_path):
    process = start(many, tmp_path / "run")
    wait_for(lambda: lines_in(tmp_path / "run") >= 3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)  # two signals at once may reach a process as one
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode in {130, -signal.SIGINT}
    assert lines_in(tmp_path / "run") < 60


def test_kills_lose_nothing_and_double_nothing(many, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(["discover", str(many), "--output", str(whole), "--no-overlays", *MODEL]) == 0
    for goal in (5, 20, 41):
        won, begun = killed(
            many, broken, lambda _, goal=goal: wait_for(lambda: lines_in(broken) >= goal), "--no-overlays"
        )
        assert 0 < won <= begun <= won + IN_FLIGHT
    assert main(["discover", str(many), "--output", str(broken), "--no-overlays", *MODEL]) == 0
    assert results_of(broken) == results_of(whole)


def results_of(run):
    """Return the records of a run without their timings, in the order of their keys; doubles stay doubled."""
    return sorted(json.dumps(record.to_json() | {"ms": None}) for record in read_records(run))


def test_shards_join_to_the_whole(many, tmp_path):
    keys = []
    for part in ("1/3", "2/3", "3/3"):
        run = tmp_path / part.replace("/", "of")
        assert main(["discover", str(many), "--output", str(run), "--shard", part, "--no-overlays", *MODEL]) == 0
        keys += [record.key for record in read_records(run)]
    assert sorted(keys) == sorted(path.name for path in many.iterdir())


@pytest.mark.slow
def test_300_photographs_killed_20_times(data_root, tmp_path):
    """A run over 300 photographs of dev500 killed at 20 random instants equals an uninterrupted one."""
    voc = data_root / "voc07" / "VOCdevkit" / "VOC2007"
    names = (voc / "ImageSets" / "Main" / "dev500.txt").read_text().split()[:300]
    (tmp_path / "list.txt").write_text("".join(f"{voc}/JPEGImages/{name}.jpg\n" for name in names))
    whole, broken, generator, kills = tmp_path / "whole", tmp_path / "broken", np.random.default_rng(0), []
    assert main(["discover", str(tmp_path / "list.txt"), "--output", str(whole), "--no-overlays", *MODEL]) == 0

    def at_random(before):
        wait_for(lambda: lines_in(broken) > before or lines_in(broken) == 300, 120)
        time.sleep(generator.uniform(0, 6))

    for _ in range(20):
        kills.append(killed(tmp_path / "list.txt", broken, at_random, "--no-overlays"))
    assert all(won <= begun <= won + IN_FLIGHT for won, begun in kills), kills
    assert main(["discover", str(tmp_path / "list.txt"), "--output", str(broken), "--no-overlays", *MODEL]) == 0
    assert results_of(broken) == results_of(whole)
    assert len(results_of(broken)) == 300
    print("records won and pictures begun between kills:", kills)


def test_a_full_disk_is_said_and_the_run_goes_on_after(many, tmp_path, capsys):
    with small_disk(tmp_path / "small", 48) as small:
        command = ["discover", str(many), "--output", str(small / "run"), *MODEL]
        assert main(command) == 6
        assert "No space left" in capsys.readouterr().err
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        assert main(command) == 0
        assert lines_in(small / "run") == 60
