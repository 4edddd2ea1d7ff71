"""Download one file from one of several sources: resumable, size-limited, verified."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from auralflow_pl.pretrained.failures import BrokeOffError, SourceError, WrongBytesError
from auralflow_pl.pretrained.sources import open_source_at, stated_size
from auralflow_pl.system.files import file_sha256, file_size
from auralflow_pl.system.progress import Progress

DOWNLOAD_ATTEMPTS = 20  # per source

MAX_VAIN_ATTEMPTS = 3  # consecutive attempts that received no bytes

PAUSE_SECONDS = 0.5  # before the next attempt


class WantedFile(NamedTuple):
    """The expected file: its label, size and digest."""

    label: str  # for the progress bar
    size: int | None  # bytes; None: as many as a source says
    sha256: str  # or its first digits


class NotFetchedError(Exception):
    """No source provided the file; `failures` has one reason per source."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__("; ".join(failures))
        self.failures = list(failures)


def fetch_file(sources: Sequence[str], wanted: WantedFile, part: Path) -> None:
    """Download a file into `part` from the first source that provides it, and verify it.

    An interrupted download resumes: the bytes already in `part` are kept.

    Args:
        sources: addresses (https, http, hf, file) and paths, tried in this order.
        wanted: expected size and digest.
        part: file to download to.

    Raises:
        NotFetchedError: no source provided the file. `part` keeps the received bytes, or does not
            exist if there are none.
        OSError: `part` cannot be written.
    """
    failures = []
    with Progress(total=wanted.size, desc=wanted.label, unit="B", unit_scale=True) as bar:
        for source in sources:
            try:
                size = wanted.size or stated_size(source)
                bar.total = size
                complete_part(source, wanted._replace(size=size), part, bar)
                return
            except SourceError as error:
                failures.append(f"{source}: {error}")
    if not file_size(part):
        part.unlink(missing_ok=True)
    raise NotFetchedError(failures)


def complete_part(source: str, wanted: WantedFile, part: Path, bar: Progress) -> None:
    """Download the rest of the file from one source and verify the whole.

    If a resumed download is wrong, it is deleted and repeated once from the first byte.
    """
    began = file_size(part)
    try:
        if began > wanted.size:
            raise WrongBytesError("the part that was there is too long")
        receive_blocks(source, wanted, part, bar)
        verify_part(part, wanted)
    except WrongBytesError:
        part.unlink(missing_ok=True)
        if not began:
            raise
        complete_part(source, wanted, part, bar)


def receive_blocks(source: str, wanted: WantedFile, part: Path, bar: Progress) -> None:
    """Append the missing bytes; retry a broken connection as long as attempts receive bytes."""
    vain = 0
    for _ in range(DOWNLOAD_ATTEMPTS):
        before = file_size(part)
        if before == wanted.size:
            return
        try:
            with open_source_at(source, wanted.size, before) as (start, blocks):
                append_blocks(blocks, start, wanted, part, bar)
            return
        except BrokeOffError:
            vain = 0 if file_size(part) > before else vain + 1
            if vain == MAX_VAIN_ATTEMPTS:
                raise
            time.sleep(PAUSE_SECONDS)
    raise BrokeOffError(
        f"broke off {DOWNLOAD_ATTEMPTS} times, the last time after {file_size(part)} bytes"
    )


def append_blocks(
    blocks: Iterator[bytes], start: int, wanted: WantedFile, part: Path, bar: Progress
) -> None:
    """Write blocks from byte `start` on.

    Raises:
        WrongBytesError: the blocks exceed the expected size.
        BrokeOffError: the blocks end before the expected size.
    """
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        bar.update(start - bar.n)
        for block in blocks:
            if start + len(block) > wanted.size:
                raise WrongBytesError(f"sends more than the {wanted.size} bytes of the entry")
            start += file.write(block)
            bar.update(len(block))
        file.flush()
        os.fsync(file.fileno())
    if start < wanted.size:
        raise BrokeOffError(f"broke off after {start} of {wanted.size} bytes")


def verify_part(part: Path, wanted: WantedFile) -> None:
    """Raise WrongBytesError unless the file has the expected digest."""
    found = file_sha256(part)
    if not found.startswith(wanted.sha256):
        raise WrongBytesError(
            f"other bytes: SHA-256 {found[:12]}..., expected {wanted.sha256[:12]}..."
        )
