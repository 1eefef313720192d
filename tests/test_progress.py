"""Progress: counts, rate, time left, and when it speaks."""

from __future__ import annotations

import pytest

from lostreg import progress
from lostreg.progress import Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_one_line_a_minute_where_there_is_no_terminal(clock, capsys):
    with Progress(10) as counted:
        for _ in range(4):
            clock[0] += 25
            counted.advance()
        counted.advance(failed=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["lostreg: 3/10 images, 0.0 images/s, 3 min left"]
    assert str(counted) == "5/10 images, 0.1 images/s, 100 s left, 1 failed".replace("100 s", "2 min")


def test_unknown_totals_have_no_time_left(clock):
    counted = Progress(None)
    clock[0] = 2
    counted.advance()
    assert str(counted) == "1 images, 0.5 images/s"


def test_quiet_is_quiet(clock, capsys):
    with Progress(10, quiet=True) as counted:
        clock[0] = 1000
        counted.advance()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (5000, "83 min"), (12000, "3 h 20 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
