"""Handling of SIGTERM and Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C, with the exit code of the signal."""

    def end(number: int, _: Any) -> None:
        print("error: terminated; repeat the command to go on", file=sys.stderr)
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def until_interrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block; both are the usual way to end a server, and no error."""
    in_charge = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.suppress(KeyboardInterrupt):
        if in_charge:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        yield
    if in_charge:
        signal.signal(signal.SIGTERM, before)
