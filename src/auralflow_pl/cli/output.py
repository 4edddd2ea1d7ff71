"""Error messages and exit codes of the command line."""

from __future__ import annotations

import os
import sys


def end_output() -> None:
    """The reader of our output, `head` for example, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, code: int = 1) -> None:
    """Print one line on standard error and exit."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
