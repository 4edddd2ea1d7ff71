"""Work that may stall, and errors that waiting does not change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

WRONG_ERRORS = (  # what waiting does not change
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
    ConnectionRefusedError,
    ValueError,
    TypeError,
    ImportError,
)

WRONG_NAMES = ("EndpointConnectionError", "NoCredentialsError", "ProfileNotFound", "gaierror")


class StalledError(Exception):
    """A read took longer than it may."""


def within_time(work: Callable[[], Any], seconds: float) -> Any:
    """Result of some work, which goes on in a thread of its own if it takes longer.

    Raises:
        StalledError: it takes longer.
        Exception: that of the work.
    """
    result: list[Any] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            result.append(work())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="shards")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not result:
        raise StalledError
    return result[0]


def is_wrong(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is one that waiting does not change."""
    while error is not None:
        if isinstance(error, WRONG_ERRORS) or type(error).__name__ in WRONG_NAMES:
            return True
        error = error.__cause__
    return False
