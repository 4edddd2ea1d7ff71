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
def restoring(*names: str) -> Iterator[dict[int, Any]]:
    """After the block, give these signals the handlers again that they had before it.

    Python delivers signals only to the main thread, so nothing is done in other threads. Signals
    that the system does not have are ignored.

    Args:
        *names: names of signals, such as `SIGTERM`.

    Yields:
        the former handlers by the number of the signal; the block may change these.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield before
    finally:
        for number, former in before.items():
            if former is not None:  # else it was not set from Python, which cannot restore it
                signal.signal(number, former)


@contextlib.contextmanager
def handling(handler: SignalHandler, *names: str) -> Iterator[dict[int, Any]]:
    """Call `handler` for these signals in the block; see `restoring`.

    Args:
        handler: as for `signal.signal`.
        *names: names of signals, such as `SIGTERM`.

    Yields:
        the former handlers by the number of the signal.
    """
    with restoring(*names) as before:
        for number in before:
            signal.signal(number, handler)
        yield before


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
