"""Files at an address of fsspec: spans read in parallel, again if a read fails or stalls."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.checks.values import positive
from auralflow_pl.data.shards.patience import StalledError, is_wrong, within_time
from auralflow_pl.errors import InputError, one_line, shown
from auralflow_pl.system.extras import require_extra

log = logging.getLogger(__name__)

LARGEST_READ, READS_AT_ONCE = 2**22, 4  # bytes of a request, and requests that wait together

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between attempts; each pause is twice the last

RECENT_READS = 16  # spans that are kept, as silence is looked for in what is read next

LIBRARIES = ("aiobotocore", "botocore", "fsspec", "s3fs")

SECRET_OPTION = re.compile(r"secret|passw|passphrase|token|account_key|credential|connection_str")


class ByteSpan(NamedTuple):
    """A span of a file."""

    name: str  # of the file, below the address
    start: int  # first byte
    stop: int  # byte after the last one


class Store:
    """Files below an address. Each process opens its own connections, when it first reads.

    Args:
        url: folder or address of fsspec, as `s3://bucket/songs`.
        options: options of its file system, as `endpoint_url`.
        timeout_seconds: time after which a request of at most 16 MiB has stalled.
        patience_seconds: time for which a failing read is tried again.

    Raises:
        InputError: no address, a secret in the address or the options, or fsspec or the package for
            this kind of address is not installed.
    """

    def __init__(
        self,
        url: str | None,
        options: Mapping[str, Any] | None = None,
        timeout_seconds: float = 30.0,
        patience_seconds: float = 300.0,
    ) -> None:
        if not url or not isinstance(url, str):
            raise InputError("data.url: not given; pass data.url=<folder>, or data.url=s3://...")
        check_no_secret(url, options)
        is_path = "://" not in url and "::" not in url
        self.url = str(Path(url).expanduser().absolute()) if is_path else url.rstrip("/")
        self.options = dict(options or {})
        self.timeout_seconds = positive("data.timeout_seconds", timeout_seconds, "seconds")
        self.patience_seconds = positive("data.patience_seconds", patience_seconds, "seconds")
        if "s3://" in url or "s3a://" in url:
            require_extra("shards", f"data.url={self.url}")
        self.forget()

    def forget(self) -> None:
        """Open connections anew at the next read."""
        self.process = 0  # that has the connections
        self.recent: dict[ByteSpan, bytes] = {}

    def __getstate__(self) -> dict[str, Any]:
        own = ("system", "root", "recent", "process")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.forget()

    def connect(self) -> Any:
        """The file system of this process.

        Connections and threads of a process are unusable in its forks.
        """
        if self.process != os.getpid():
            from fsspec.core import url_to_fs

            for name in LIBRARIES:  # they log how they found credentials
                if not logging.getLogger(name).level:
                    logging.getLogger(name).setLevel(logging.WARNING)
            made = {"skip_instance_cache": True} | copy.deepcopy(self.options)  # some are changed
            self.system, self.root = url_to_fs(self.url, **made)
            self.process, self.recent = os.getpid(), {}
        return self.system

    @property
    def folder(self) -> Path | None:
        """The address as a folder of this machine; None: it is none."""
        return None if "://" in self.url or "::" in self.url else Path(self.url)

    def path(self, name: str) -> str:
        """Path of a file in the file system."""
        self.connect()
        return f"{self.root.rstrip('/')}/{name}"

    def content(self, name: str) -> bytes:
        """A whole file.

        Raises:
            InputError: it is missing, the address or an option is wrong, or it cannot be read.
        """
        text = f"expected a folder with {name}, as scripts/make_shards.py writes it"
        size = self.patiently(name, lambda: self.connect().size(self.path(name)), text)
        if size is None:
            return self.patiently(name, lambda: self.connect().cat_file(self.path(name)), text)
        return self.read([ByteSpan(name, 0, size)])[0]

    def holds(self, name: str) -> bool:
        """Whether there is a file.

        Raises:
            InputError: the address or an option is wrong.
        """

        def look() -> bool:
            try:
                self.connect().info(self.path(name))
            except FileNotFoundError:
                return False
            return True

        return self.patiently(name, look, "expected an address that can be read")

    def sizes(self) -> dict[str, int | None]:
        """Sizes in bytes of all files by name; None: not known. Empty: they cannot be listed.

        Raises:
            InputError: the list could not be read with patience.
        """

        def listed() -> Mapping[str, Any]:
            system = self.connect()
            with contextlib.suppress(NotImplementedError, PermissionError, FileNotFoundError):
                return system.find(self.root, detail=True)
            return {}

        prefix = f"{self.root.rstrip('/')}/"
        seconds = max(self.timeout_seconds, self.patience_seconds)  # it may have many pages
        found = self.patiently("list of files", listed, seconds=seconds)
        return {
            path[len(prefix) :]: facts.get("size")
            for path, facts in found.items()
            if path.startswith(prefix)
        }

    def read(self, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Read spans of files at the same time.

        Raises:
            InputError: a file ends before its span, or could not be read with patience.
        """
        recent = self.recent if self.process == os.getpid() else {}
        missing = [span for span in dict.fromkeys(spans) if span not in recent]
        pieces = [piece for span in missing for piece in cut(span)]
        read: list[bytes] = []
        for first in range(0, len(pieces), READS_AT_ONCE):
            read += self.read_together(pieces[first : first + READS_AT_ONCE])
        parts = iter(read)
        known = recent | {span: b"".join(next(parts) for _ in cut(span)) for span in missing}
        short = [(s, content) for s, content in known.items() if len(content) <= LARGEST_READ]
        self.recent = dict(short[-RECENT_READS:])  # replaced as a whole: threads may read
        return [known[span] for span in spans]

    def read_together(self, pieces: Sequence[ByteSpan]) -> list[bytes]:
        """Read short spans at the same time, each until it succeeds."""
        done: dict[ByteSpan, bytes] = {}

        def attempt() -> list[bytes]:
            wanted = [piece for piece in pieces if piece not in done]
            paths = [self.path(piece.name) for piece in wanted]
            ranges = [p.start for p in wanted], [p.stop for p in wanted]
            found = self.connect().cat_ranges(paths, *ranges, on_error="return")
            for piece, content in zip(wanted, found, strict=True):
                if isinstance(content, bytes):
                    self.check_length(piece, content)
                    done[piece] = content
            for content in found:
                if isinstance(content, BaseException):
                    raise content
            return [done[piece] for piece in pieces]

        return self.patiently(pieces[0].name, attempt)

    def check_length(self, piece: ByteSpan, content: bytes) -> None:
        """Raise InputError if a read has another number of bytes than were asked for."""
        wanted = piece.stop - piece.start
        if len(content) > wanted:
            raise InputError(
                f"{self.url}/{piece.name}: {len(content)} bytes for a range of {wanted}; expected "
                "a server that knows ranges of bytes (Range)"
            )
        if len(content) < wanted:
            raise InputError(
                f"{self.url}/{piece.name}: ends at byte {piece.start + len(content)}, expected "
                f"at least {piece.stop}; write the shard again"
            )

    def patiently(
        self,
        name: str,
        work: Callable[[], Any],
        expected: str | None = None,
        seconds: float | None = None,
    ) -> Any:
        """Do some work, again if it fails or stalls, until the patience ends.

        Args:
            name: file that it reads, for messages.
            work: what is done.
            expected: for what is read first: what is expected there. An error that waiting does not
                change is then raised at once.
            seconds: time that it may take; None: `timeout_seconds`.

        Raises:
            InputError: it failed.
        """
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                self.connect()  # imports take their time once
                return within_time(work, seconds or self.timeout_seconds)
            except InputError:
                raise
            except Exception as error:
                waited = time.monotonic() - began
                place = f"{self.url}/{name}"
                reason = self.reason(error)
                if expected is not None and is_wrong(error):
                    raise InputError(f"{place}: {reason}; {expected}") from error
                if waited + pause > self.patience_seconds:
                    raise InputError(
                        f"{place}: cannot be read: {reason} (tried for {waited:.0f} s, "
                        f"data.patience_seconds={self.patience_seconds:g})"
                    ) from error
                if pause == FIRST_PAUSE:
                    log.warning("%s: %s; trying again", place, reason)
                self.process = 0  # a connection that stalls is not used again
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def reason(self, error: Exception) -> str:
        """What happened, in a few words."""
        if isinstance(error, StalledError):
            return f"stalled for data.timeout_seconds={self.timeout_seconds:g}"
        if isinstance(error, FileNotFoundError):
            return "no such file"
        return f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__


def cut(span: ByteSpan) -> list[ByteSpan]:
    """A span as spans of at most `LARGEST_READ` bytes."""
    starts = range(span.start, span.stop, LARGEST_READ)
    return [ByteSpan(span.name, at, min(at + LARGEST_READ, span.stop)) for at in starts]


def check_no_secret(url: str, options: Any, where: str = "data.options") -> None:
    """Raise InputError for a secret, as the configuration is stored in runs and checkpoints."""
    if "@" in url.rsplit("::", maxsplit=1)[-1].partition("://")[2].partition("/")[0]:
        raise InputError(
            "data.url: holds a user name or password, which would be stored in checkpoints; pass "
            "them in the environment, as in FSSPEC_SFTP_PASSWORD=..."
        )
    if options is None:
        return
    if not isinstance(options, Mapping):
        raise InputError(f"{where}={shown(options)}: expected {{<option>:<value>}}")
    for name, value in options.items():
        if SECRET_OPTION.search(str(name).lower()):
            raise InputError(
                f"{where}.{shown(name)}: would be stored in checkpoints; pass it in the "
                "environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3, or "
                f"FSSPEC_<PROTOCOL>_{shown(name).upper()}"
            )
        if isinstance(value, Mapping):
            check_no_secret("", value, f"{where}.{shown(name)}")
