"""What may fail without harm: pictures and sounds beside the real results."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from auralflow_pl.errors import one_line

log = logging.getLogger(__name__)


@contextlib.contextmanager
def spare_result(what: str | Path) -> Iterator[None]:
    """Turn any failure of the block into a warning; what follows needs no result of it."""
    try:
        yield
    except Exception as error:
        log.warning("%s: not made: %s: %s", what, type(error).__name__, one_line(error))
        log.debug("%s", what, exc_info=True)
