"""Signal handlers that are set for the length of a block."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SignalHandler = Callable[[int, FrameType | None], object]


@contextlib.contextmanager
def handling(handler: SignalHandler, *names: str) -> Iterator[dict[int, Any]]:
    """Call `handler` for these signals in the block; restore the former handlers afterwards.

    Python delivers signals only to the main thread, so nothing is set in other threads. Signals
    that the system does not have are ignored.

    Args:
        handler: as for `signal.signal`.
        *names: names of signals, such as `SIGTERM`.

    Yields:
        the former handlers by the number of the signal.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield before
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """End the program with exit code 143 and one line of text if SIGTERM arrives in the block."""

    def end(number: int, _: FrameType | None) -> None:
        print("error: terminated; repeat the command to go on", file=sys.stderr)
        raise SystemExit(128 + number)

    with handling(end, "SIGTERM"):
        yield


@contextlib.contextmanager
def until_interrupted() -> Iterator[None]:
    """End the block, not the program, on Ctrl-C or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt), handling(signal.default_int_handler, "SIGTERM"):
        yield
