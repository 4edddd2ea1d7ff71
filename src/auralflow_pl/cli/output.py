"""Standard streams, error messages and exit codes of the command line."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from auralflow_pl.errors import printable, printable_lines


def prepare_streams() -> None:
    """Let names of files that are no valid text be printed, and discard what a closed stream gets.

    Python has no stream for an output that is closed when it starts, as with `>&-` or pythonw.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def until_reader_ends() -> Iterator[None]:
    """End the block, without an error, when the reader of standard output has closed it."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        end_output()


def end_output() -> None:
    """Discard further output after the reader of a pipe, such as `head`, has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int = 1) -> None:
    """Print `error: <message>` on standard error and exit with `code`."""
    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(code)


class PlainFormatter(logging.Formatter):
    """Escapes control characters, which names of files may hold, in messages on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, with its line breaks."""
        return printable_lines(super().format(record))
