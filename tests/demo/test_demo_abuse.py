"""Strangers' tricks: bombs, files of the server, addresses. Nothing leaks, nothing grows, the page goes on."""

from __future__ import annotations

import json
import time
import urllib.parse

import pytest
from demo.conftest import PATIENCE
from demo_pictures import bomb
from support import picture

httpx = pytest.importorskip("httpx", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
pytest.importorskip("gradio_client", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
from gradio_client import handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402

SECRET = "the-secret-of-the-server"

UP = ["../" * n for n in (1, 3, 8)]
DOTS = ["..%2f" * 6, "%2e%2e/" * 6, "..%252f" * 6, "....//" * 6, "..\\" * 6, "..%5c" * 6, "%c0%ae%c0%ae/" * 6]
PREFIXES = [*UP, *DOTS, "/", "//", "file:///", "%2f", "./", "/proc/self/root/", "~/", "C:\\", "\\\\?\\", "%00/"]
ROUTES = ["/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/file=", "/gradio_api/stream/"]


def traversals(secret):
    """Yield sixty addresses that try to reach a file outside."""
    plain = str(secret).lstrip("/")
    tries = [f"{route}{prefix}{plain}" for prefix in PREFIXES for route in ROUTES[:3]]
    tries += [f"{route}{prefix}etc/passwd" for prefix in (*UP, *DOTS) for route in ROUTES[3:5]]
    return tries[:60]


ADDRESSES = [
    "http://127.0.0.1:{port}/config",
    "http://127.1:{port}/config",
    "http://2130706433:{port}/config",
    "http://0x7f000001:{port}/config",
    "http://0177.0.0.1:{port}/config",
    "http://0.0.0.0:{port}/config",
    "http://[::1]:{port}/config",
    "http://[::ffff:127.0.0.1]:{port}/config",
    "http://localhost:{port}/config",
    "http://LOCALHOST:{port}/config",
    "http://localhost.:{port}/config",
    "http://127.0.0.1.nip.io:{port}/config",
    "http://user@127.0.0.1:{port}/config",
    "http://example.com@127.0.0.1:{port}/config",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "https://127.0.0.1:{port}/config",
    "ftp://127.0.0.1:{port}/config",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
]


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    return path


def submit(server, data):
    """Send a request as a program without our client would, and return all that comes back."""
    body = {"data": [data, "dinov2-s14", "preset", "preset", "preset", "preset", "1", "preset"]}
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
        sent = http.post("/gradio_api/call/discover", json=body)
        if sent.status_code != 200:
            return sent.text
        return http.get(f"/gradio_api/call/discover/{sent.json()['event_id']}").text


def seconds_to_refuse(client, uploaded, words):
    """Return the fastest of three refusals; what else the machine does only ever slows one down."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        with pytest.raises(AppError, match=words):
            client.predict(picture=uploaded, api_name="/discover")
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def test_bombs_are_refused_at_once_and_leave_no_memory(server, client, tmp_path):
    """What decides is the time beyond a refusal that reads a few bytes, so that a slow machine passes as well."""
    client.predict(picture=handle_file(str(picture(tmp_path / "warm.png"))), api_name="/discover")
    (tmp_path / "text.jpg").write_text("this is no picture")
    usual = seconds_to_refuse(client, handle_file(str(tmp_path / "text.jpg")), "not a picture")
    for name, content in {"bomb.png": bomb(12_000), "big.png": bomb(20_000), "huge.bmp": bomb(30_000, "BMP")}.items():
        path = tmp_path / name
        path.write_bytes(content)
        server.reset_peak()
        before = server.memory()
        taken = seconds_to_refuse(client, handle_file(str(path)), "pixels")
        assert taken - usual < 0.4, f"{name} took {taken:.2f} s, a text file {usual:.2f} s"
        assert server.memory("VmHWM") - before < 50


def test_no_file_of_the_server_is_served(server, secret):
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
        for address in traversals(secret):
            answer = http.get(address)
            assert SECRET not in answer.text
            assert "root:" not in answer.text, address
            assert "file=" not in address or answer.status_code in {400, 403, 404}, address


def test_the_traversals_are_sixty_and_the_probe_can_find(server, secret):
    assert len(set(traversals(secret))) == 60
    assert SECRET in secret.read_text()


@pytest.mark.parametrize("key", ["path", "url"])
def test_no_file_of_the_server_is_read_as_a_picture(server, tmp_path, key):
    photo = picture(tmp_path / "private.png")
    for path in (str(photo), f"file://{photo}", "/etc/passwd", f"../../../../..{photo}"):
        said = submit(server, {"path": path, key: path, "meta": {"_type": "gradio.FileData"}})
        assert "bbox_xyxy" not in said
        assert "root:" not in said


def test_no_address_is_fetched(server):
    assert len(ADDRESSES) == 20
    port = urllib.parse.urlsplit(server.url).port
    for address in ADDRESSES:
        target = address.format(port=port)
        for data in ({"path": target}, {"path": target, "url": target}, {"path": None, "url": target}):
            said = submit(server, {**data, "meta": {"_type": "gradio.FileData"}})
            assert "bbox_xyxy" not in said, address
            assert "components" not in said, address
        if address.startswith("http"):
            said = submit(server, {"path": target, "meta": {"_type": "gradio.FileData"}})
            assert "error" in said


def test_no_connection_is_even_tried(server, tmp_path):
    """A listener that would hear a fetch hears one from us and none from the page."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(1.0)
        port = listener.getsockname()[1]
        submit(server, {"path": f"http://127.0.0.1:{port}/a.png", "meta": {"_type": "gradio.FileData"}})
        with pytest.raises(TimeoutError):
            listener.accept()
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()


def test_names_do_not_leave_the_folder(server, client, tmp_path):
    content = picture(tmp_path / "a.png").read_bytes()
    for name in ("../../evil.png", "/etc/evil.png", "..\\evil.png", "<img src=x onerror=alert(1)>.png", "a" * 5000):
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
            sent = http.post("/gradio_api/upload", files={"files": (name, content, "image/png")})
        if sent.status_code != 200:
            continue
        path = sent.json()[0]
        assert str(server.folder) in path
        said = submit(server, {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}})
        key = json.loads(said.split("data: ", 1)[1])[0]["key"]
        assert "/" not in key
        assert len(key) <= 200


def test_too_large_an_upload_is_refused(server):
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as http:
        sent = http.post("/gradio_api/upload", files={"files": ("big.png", bytes(65 * 1024 * 1024), "image/png")})
    assert sent.status_code == 413
