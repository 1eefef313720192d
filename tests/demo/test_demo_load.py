"""Many users at once, and one for long: nobody gets another's picture, nobody is left without an answer."""

from __future__ import annotations

import re
import statistics
import threading
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio_client", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
from demo.conftest import connect
from gradio_client import handle_file

BUSY = re.compile(r"queue is full|too many|busy", re.IGNORECASE)


def coded(path, code):
    """Write a picture that only fits its user: its size, and the place of its bright square."""
    height, width = 140 + 14 * (code % 4), 140 + 14 * (code // 4)
    pixels = np.random.default_rng(code).integers(0, 40, (height, width, 3), np.uint8)
    column, row = 14 * (1 + code % 4), 14 * (1 + code // 4)
    pixels[row : row + 42, column : column + 42] = 230
    Image.fromarray(pixels).save(path)
    return path, (width, height), (column, row)


def belongs(answer, size, corner, name):
    """Tell whether an answer is that of a coded picture."""
    x0, y0, x1, y1 = answer["objects"][0]["bbox_xyxy"]
    centre = corner[0] + 21, corner[1] + 21
    inside = x0 <= centre[0] <= x1 and y0 <= centre[1] <= y1
    return (answer["width"], answer["height"]) == size and inside and answer["key"] == name


def user(server, path, size, corner, tries, answers, seconds):
    client = connect(server)
    for number in range(tries):
        started = time.perf_counter()
        try:
            answer = client.predict(
                picture=handle_file(str(path)), method="lost", objects=str(1 + number % 3), api_name="/discover"
            )
        except Exception as error:  # whatever the client raises is judged by its words
            answers.append("busy" if BUSY.search(str(error)) else repr(error))
        else:
            answers.append("own" if belongs(answer, size, corner, path.name) else "another's")
        seconds.append(time.perf_counter() - started)


def test_sixteen_users_at_once_get_their_own_answers(server, tmp_path, record_property):
    answers, seconds, threads = [], [], []
    for code in range(16):
        path, size, corner = coded(tmp_path / f"user{code}.png", code)
        arguments = (server, path, size, corner, 5, answers, seconds)
        threads.append(threading.Thread(target=user, args=arguments))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p95 = statistics.quantiles(seconds, n=20)[-1]
    record_property("p95_seconds", round(p95, 2))
    print(f"80 requests of 16 users: {answers.count('own')} own, {answers.count('busy')} busy, p95 {p95:.2f} s")
    assert len(answers) == 80
    assert set(answers) <= {"own", "busy"}
    assert answers.count("own") >= 64


def test_the_code_would_show_a_mix_up(tmp_path):
    answer = {"width": 140, "height": 140, "key": "user0.png", "objects": [{"bbox_xyxy": [14, 14, 56, 56]}]}
    assert belongs(answer, (140, 140), (14, 14), "user0.png")
    assert not belongs(answer, (154, 140), (14, 14), "user0.png")
    assert not belongs(answer, (140, 140), (70, 70), "user0.png")
    assert not belongs(answer, (140, 140), (14, 14), "user1.png")


@pytest.mark.slow
def test_memory_stays_flat_over_five_hundred_requests(server, tmp_path):
    client = connect(server)
    memory = []
    for number in range(500):
        path, _, _ = coded(tmp_path / f"{number % 40}.png", number % 40)
        client.predict(picture=handle_file(str(path)), objects="2", api_name="/discover")
        if number % 20 == 19:
            memory.append(server.memory())
    slope = np.polyfit(np.arange(20, 501, 20)[5:], memory[5:], 1)[0] * 100
    stored = sum(path.stat().st_size for path in server.folder.rglob("*") if path.is_file()) / 1e6
    print(f"memory {memory[0]:.0f} -> {memory[-1]:.0f} MB, slope {slope:.2f} MB per 100, stored {stored:.1f} MB")
    assert slope < 2
    assert stored < 50
