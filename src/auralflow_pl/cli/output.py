"""Error messages and exit codes of the command line."""

from __future__ import annotations

import logging
import os
import sys

from auralflow_pl.errors import printable, printable_lines


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
