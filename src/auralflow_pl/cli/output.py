"""Error messages and exit codes of the command line."""

from __future__ import annotations

import os
import sys


def end_output() -> None:
    """Discard further output after the reader of a pipe, such as `head`, has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int = 1) -> None:
    """Print `error: <message>` on standard error and exit with `code`."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
