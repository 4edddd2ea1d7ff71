"""Why a request is not served: status of HTTP and one line of text."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from auralflow_pl.errors import InputError, WriteError, one_line, printable
from auralflow_pl.system.memory import is_memory_shortage

log = logging.getLogger(__name__)

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

DISK_TEXT = "the disk of the server is full; try again later, or a shorter file"


class Refusal(Exception):  # noqa: N818 - not always an error of the server
    """A request that is not served.

    Args:
        status: status of HTTP.
        detail: what was wrong and what to do, in one line.
        retry_after: seconds after which the same request may succeed; None: unknown.
    """

    def __init__(self, status: int, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after


def refusal_of(error: Exception, folder: Path, path: Path, name: str) -> Refusal:
    """What a client is told of a failed separation.

    Args:
        error: why it failed; if it is a bug, its traceback is logged.
        folder: folder of the job, which the text does not name.
        path: the upload in it.
        name: name that the client gave the upload.
    """
    if isinstance(error, Refusal):
        return error
    cause = error.__cause__ or error
    if is_memory_shortage(cause):
        return Refusal(503, f"{name}: not enough memory on the server; try a shorter file", 60)
    if isinstance(error, WriteError) or is_full_disk(error) or is_full_disk(cause):
        log.error("writing failed: %s", one_line(error))
        return Refusal(507, DISK_TEXT, 60)
    if isinstance(error, InputError):
        text = str(error).replace(str(path), name).replace(str(folder), "")
        return Refusal(422, printable(one_line(text, None)))
    log.error("a separation failed; this is a bug, please report it", exc_info=error)
    return Refusal(500, "the server failed; its log says why")


def is_full_disk(error: BaseException) -> bool:
    """Whether a file could not be written because the disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS
