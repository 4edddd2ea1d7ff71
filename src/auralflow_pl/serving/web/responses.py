"""Responses with stems, and streams of events."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.responses import FileResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

ZIP_BLOCK = 2**18  # bytes

EVENT_SECONDS = 0.5  # between two events of a job
COMMENT_SECONDS = 15.0  # without an event until a comment keeps proxies from closing the stream


class StemFileResponse(FileResponse):
    """One stem, of which a client may ask for a range.

    Args:
        path: path of the stem.
        name: name of the download.
        release: called once the response has ended, however it ends.
    """

    def __init__(self, path: Path, name: str, release: Callable[[], None]) -> None:
        super().__init__(path, filename=name, headers={"Cache-Control": "no-store"})
        self.release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stem."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.release()


class StemZipResponse(StreamingResponse):
    """All stems as one zip, which is made while it is sent: it needs no room on the disk.

    Args:
        stems: paths by name.
        name: name of the download.
        release: called once the response has ended, however it ends.
    """

    def __init__(self, stems: Mapping[str, Path], name: str, release: Callable[[], None]) -> None:
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}",
        }
        self.blocks = zip_blocks(stems.values())
        super().__init__(self.blocks, headers=headers, media_type="application/zip")
        self.release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the zip."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.blocks.close()  # else it complains once it is freed, if it was not sent
            self.release()


class ZipSink(io.RawIOBase):
    """What was written since `taken` was last called; cannot be read or sought."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes."""
        self.content += data
        return len(data)

    def taken(self) -> bytes:
        """The bytes that were appended, which are then forgotten."""
        content, self.content = bytes(self.content), bytearray()
        return content


def zip_blocks(paths: Iterable[Path]) -> Generator[bytes, None, None]:
    """Blocks of a zip of files, stored without compression: sound hardly shrinks."""
    sink = ZipSink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            info = zipfile.ZipInfo.from_file(path, path.name)
            with path.open("rb") as file, archive.open(info, "w", force_zip64=True) as entry:
                while block := file.read(ZIP_BLOCK):
                    entry.write(block)
                    yield sink.taken()
    yield sink.taken()


async def job_events(
    describe: Callable[[], dict[str, Any]], finished: asyncio.Future[None]
) -> AsyncIterator[str]:
    """Events of a job as `text/event-stream`: one for every change, the last when it has ended.

    Args:
        describe: state of the job as plain values.
        finished: done once the job has ended.
    """
    clock = asyncio.get_running_loop().time
    last, sent = None, clock()
    while True:
        ended = finished.done()
        now = describe()
        if now != last:
            last, sent = now, clock()
            yield f"event: {now['state']}\ndata: {json.dumps(now)}\n\n"
        elif clock() - sent > COMMENT_SECONDS:
            sent = clock()
            yield ": still here\n\n"
        if ended:
            return
        await asyncio.wait({finished}, timeout=EVENT_SECONDS)
