"""``lostreg demo`` and ``app.py`` as a person starts them."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import pytest

from lostreg.catalogue import ENTRIES
from lostreg.cli import build_parser, main
from lostreg.cli.demo import _load
from lostreg.demo import reproduce
from lostreg.errors import WeightsError
from lostreg.registers.choice import RegisterChoice
from lostreg.settings import MethodSettings

ROOT = Path(__file__).parent.parent.parent


def test_without_gradio_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in [name for name in sys.modules if name.startswith("lostreg.demo.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["demo"]) == 2
    assert 'pip install "lostreg[demo]"' in capsys.readouterr().err


@pytest.mark.weights
@pytest.mark.parametrize("command", [["-m", "lostreg", "demo"], [str(ROOT / "app.py")]])
def test_it_serves_until_it_is_stopped(offline_weights, command, tmp_path):
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("the demo needs Gradio: pip install 'lostreg[demo]'")
    command = [sys.executable, *command, "--model", offline_weights.entry.name, "--root-path", "/under"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert url, said
        with urllib.request.urlopen(url[0]) as answer:
            page = answer.read().decode()
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 143
    assert "/under" in page
    assert "Traceback" not in rest
    assert not list(tmp_path.glob("lostreg-demo-*"))


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_a_port_that_cannot_be_is_refused(port, capsys):
    assert main(["demo", "--port", port]) == 2
    assert "--port must be from 1 to 65535" in capsys.readouterr().err


def test_a_head_needs_its_model(capsys):
    assert main(["demo", "--head", "head.safetensors"]) == 2
    assert "name it with --model" in capsys.readouterr().err


def test_a_head_goes_to_the_first_model_alone(monkeypatch):
    loaded = []
    monkeypatch.setattr("lostreg.discover.Discoverer", lambda name, **options: loaded.append((name, options["head"])))
    args = build_parser().parse_args(["demo", "--head", "h.safetensors", "--model", "dino-s16", "--model", "dino-s8"])
    for name in ("dino-s16", "dino-s8", "dino-s16"):
        _load(args, name)
    assert loaded == [("dino-s16", Path("h.safetensors")), ("dino-s8", None), ("dino-s16", Path("h.safetensors"))]


def test_the_weights_of_all_models_are_there_before_the_first_visitor(monkeypatch, capsys):
    """One that cannot be had ends the start; nothing is loaded or served before."""
    pytest.importorskip("gradio", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
    asked = []

    def resolve(name):
        asked.append(name)
        if name == "dino-s8":
            raise WeightsError("No weights for dino-s8.")

    monkeypatch.setattr("lostreg.weights.resolve", resolve)
    models = ["--model", "dino-s16", "--model", "dino-s16+test-time", "--model", "dino-s8"]
    assert main(["demo", *models]) == 4
    assert asked == ["dino-s16", "dino-s16", "dino-s8"]
    assert "No weights for dino-s8." in capsys.readouterr().err


def test_registers_go_to_the_model_that_names_them(monkeypatch):
    loaded = []
    monkeypatch.setattr("lostreg.discover.Discoverer", lambda name, **rest: loaded.append((name, rest["registers"])))
    args = build_parser().parse_args(["demo", "--model", "dino-s16", "--model", "dino-s16+test-time"])
    for name in args.model:
        _load(args, name)
    assert loaded == [("dino-s16", None), ("dino-s16", "test-time")]


def made_up(head_file=None, registers=None):
    """Return what the shown commands read of a discoverer."""
    return types.SimpleNamespace(
        head_file=head_file,
        registers=types.SimpleNamespace(choice=RegisterChoice.parse(registers) if registers else None),
        weights=types.SimpleNamespace(entry=ENTRIES[0]),
    )


def test_the_command_that_repeats_a_result_names_the_registers():
    lost = MethodSettings("lost")
    assert "--registers test-time" in reproduce.shell(lost, made_up(registers="test-time"), "a.jpg")
    assert "    registers='test-time',\n" in reproduce.python(lost, made_up(registers="test-time"), "a.jpg")
    assert "registers" not in reproduce.shell(lost, made_up(), "a.jpg") + reproduce.python(lost, made_up(), "a.jpg")


def test_the_command_that_repeats_a_result_names_the_head():
    discoverer = made_up(head_file=Path("my head.st"))
    fitted = MethodSettings("fitted")
    assert "--head 'my head.st'" in reproduce.shell(fitted, discoverer, "a.jpg")
    assert "    head='my head.st',\n" in reproduce.python(fitted, discoverer, "a.jpg")
    assert "head='my" not in reproduce.python(MethodSettings("lost"), discoverer, "a.jpg")
    assert "--head " not in reproduce.shell(MethodSettings("lost"), discoverer, "a.jpg")


@pytest.mark.weights
def test_a_port_in_use_is_said(offline_weights):
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("the demo needs Gradio: pip install 'lostreg[demo]'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ["--model", offline_weights.entry.name, "--port", str(taken.getsockname()[1])]
        command = [sys.executable, "-m", "lostreg", "demo", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("lostreg: Cannot listen there:")
    assert "Traceback" not in done.stderr
