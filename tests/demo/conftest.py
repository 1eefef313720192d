"""The demo's server in a process of its own, so that its memory can be measured and its warnings are its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent

PATIENCE = 120.0
"""Seconds; only a server that hangs is so slow, on any machine."""


@dataclass(frozen=True)
class Server:
    """A running demo: its address, its folder, its process."""

    url: str
    folder: Path
    pid: int

    def memory(self, field="VmRSS"):
        """Return the process's memory in MB; VmHWM for the peak."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.exists():
            pytest.skip("memory is read from /proc, which only Linux has")
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024

    def reset_peak(self):
        """Let the peak count from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@pytest.fixture(scope="session")
def server():
    """Serve the demo with a ViT that costs nothing."""
    pytest.importorskip("gradio", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
    # the same lostreg that the tests import, before any that is installed
    python_path = os.pathsep.join([str(HERE.parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": python_path, "GRADIO_ANALYTICS_ENABLED": "False"}
    command = [sys.executable, str(HERE.parent / "demo_stub.py")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        url, folder = process.stdout.readline().split(maxsplit=1)
        yield Server(url, Path(folder.strip()), process.pid)
        process.stdin.close()
        assert process.wait(timeout=PATIENCE) == 0
    assert not Path(folder.strip()).exists()


@pytest.fixture(scope="session")
def client(server):
    """Return a client of the served demo."""
    return connect(server)


def connect(server):
    """Return a new client, as another user, with more patience than the five seconds it has by itself."""
    from gradio_client import Client

    return Client(server.url, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": PATIENCE})
