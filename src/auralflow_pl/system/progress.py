"""Progress bars on terminals, and lines now and then in logs."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

LINE_SECONDS = 30  # between the lines of a bar in a log

LINE_FORMAT = "{desc}: {percentage:.0f}%, {remaining} left{postfix}"


class Progress(tqdm):
    """A progress bar that is removed at its end; in a log, a line every `LINE_SECONDS`.

    Args:
        *arguments: those of `tqdm`: items to count, description, total.
        file: where it is shown; None: standard error.
        **options: keyword arguments of `tqdm`.
    """

    hidden = False  # all bars of this process; for silent=true

    def __init__(self, *arguments: Any, file: TextIO | None = None, **options: Any) -> None:
        file = file or sys.stderr
        self.is_bar = is_redrawn(file)
        self.told = time.monotonic()
        if file is None or Progress.hidden:  # None: standard error is closed
            options["disable"] = True
        super().__init__(*arguments, **options | {"file": file, "leave": False})

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar, or write a line if one is due."""
        if self.is_bar:
            return super().display(msg, pos)
        if msg is None and time.monotonic() - self.told >= LINE_SECONDS:
            self.told = time.monotonic()
            values = self.format_dict
            values |= {"prefix": values["prefix"].removesuffix(": "), "bar_format": LINE_FORMAT}
            self.fp.write(f"{self.format_meter(**values)}\n")
            self.fp.flush()
        return False

    def clear(self, nolock: bool = False) -> None:
        """Remove the bar for a moment, so that other text can be written."""
        if self.is_bar:
            super().clear(nolock)


def is_redrawn(file: TextIO | None) -> bool:
    """Whether a file shows bars: a terminal or a notebook, no log."""
    if file is None:
        return False
    return file.isatty() or type(file).__module__.startswith("ipykernel")
