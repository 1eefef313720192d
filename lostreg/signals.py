"""A first SIGINT or SIGTERM asks for an orderly stop, a second one ends at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Remembers the signal that asked for a stop."""

    def __init__(self) -> None:
        """Nothing has been asked yet."""
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Tell whether a stop was asked for."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The shell's code for the signal: 130 for SIGINT, 143 for SIGTERM; 0 if none came."""
        return 0 if self.signal is None else 128 + self.signal


@contextmanager
def orderly_stop(request: StopRequest) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into a request for the length of the block; the second one is not held back."""
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:
        request.signal = number
        for each in previous:
            signal.signal(each, signal.SIG_DFL)

    for number in previous:
        signal.signal(number, remember)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
