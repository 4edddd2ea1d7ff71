"""Uploads as `multipart/form-data`: the file goes to the disk as it arrives, fields stay small."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path, PurePosixPath
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from auralflow_pl.errors import one_line, printable
from auralflow_pl.serving.refusals import Refusal

FILE_FIELD = "file"  # name of the part with the sound

SERVED_FORMATS = ("wav", "flac")

MOST_FIELDS, MOST_FIELD_BYTES, MOST_HEADER_BYTES = 16, 256, 8192

ROOM_BYTES = 2**16  # of a body beside its file

LONGEST_NAME = 80  # characters of the name of an upload in messages

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):  # noqa: N818 - not an error
    """The client closed the connection."""


class UploadForm:
    """Parser of one upload: writes the part `file` to a path, and keeps the other fields.

    Args:
        content_type: header of the request.
        path: path of the file.
        most_bytes: largest size of the file.

    Raises:
        Refusal: the header is that of no form; from `write` and `close` also for a body that is no
            form, or too large.
    """

    def __init__(self, content_type: str, path: Path, most_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Refusal(
                415,
                f"Content-Type: {printable(content_type)[:LONGEST_NAME] or 'none'}; expected "
                "multipart/form-data with a file, as curl -F file=@song.wav sends it",
            )
        self.path, self.most_bytes = path, most_bytes
        self.fields: dict[str, bytes] = {}
        self.name: str | None = None  # of the file
        self.size = 0
        self.ended = False
        self.header, self.value, self.disposition, self.header_bytes = b"", b"", b"", 0
        self.part, self.opened = "", None
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value")
        callbacks = {f"on_{name}": getattr(self, name) for name in names}
        callbacks |= {
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_end": self.end,
        }
        try:
            self.parser = MultipartParser(options[b"boundary"], callbacks)
        except FormParserError as error:
            raise no_form(one_line(error)) from error

    def write(self, content: bytes) -> None:
        """Parse the next bytes of the body."""
        try:
            self.parser.write(content)
        except FormParserError as error:
            raise no_form(one_line(error)) from error

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self.opened is not None:
            self.opened.close()

    def check_complete(self) -> None:
        """Raise Refusal unless the whole body arrived, with a file that is not empty."""
        if not self.ended:
            raise no_form("it ends before its last boundary")
        if self.name is None:
            raise Refusal(400, f"no file: expected a part named {FILE_FIELD!r} in the form")
        if not self.size:
            raise Refusal(422, f"{self.name}: empty file (0 bytes); expected audio")

    def part_begin(self) -> None:
        """A part begins."""
        self.disposition, self.header_bytes = b"", 0

    def header_field(self, data: bytes, start: int, end: int) -> None:
        """A piece of the name of a header."""
        self.header += self.counted(data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        """A piece of the value of a header."""
        self.value += self.counted(data[start:end])

    def counted(self, piece: bytes) -> bytes:
        """A piece of the headers of a part; raise Refusal if they are too long."""
        self.header_bytes += len(piece)
        if self.header_bytes > MOST_HEADER_BYTES:
            raise no_form(f"a part has more than {MOST_HEADER_BYTES} bytes of headers")
        return piece

    def header_end(self) -> None:
        """A header is complete."""
        if self.header.lower() == b"content-disposition":
            self.disposition = self.value
        self.header = self.value = b""

    def headers_finished(self) -> None:
        """The content of a part begins."""
        _, options = parse_options_header(self.disposition)
        self.part = options.get(b"name", b"").decode("utf-8", "replace")
        if self.part != FILE_FIELD:
            if self.part in self.fields or len(self.fields) >= MOST_FIELDS:
                raise no_form(f"a part twice, or more than {MOST_FIELDS} parts")
            self.fields[self.part] = b""
            return
        if self.name is not None:
            raise Refusal(400, "several files: expected one in each request")
        self.name = shown_name(options.get(b"filename", b"upload"))
        self.opened = self.path.open("xb")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        """A piece of the content of a part."""
        if self.part != FILE_FIELD:
            self.fields[self.part] += data[start:end]
            if len(self.fields[self.part]) > MOST_FIELD_BYTES:
                raise no_form(f"a field has more than {MOST_FIELD_BYTES} bytes")
            return
        assert self.opened is not None  # since `headers_finished`
        self.size += end - start
        if self.size > self.most_bytes:
            raise too_large(self.most_bytes)
        self.opened.write(data[start:end])

    def part_end(self) -> None:
        """A part is complete."""
        if self.part == FILE_FIELD:
            self.close()

    def end(self) -> None:
        """The form is complete."""
        self.ended = True


def no_form(reason: str) -> Refusal:
    """Refusal of a body that cannot be parsed."""
    return Refusal(400, f"the body is no valid multipart/form-data: {printable(reason)}")


def too_large(most_bytes: int) -> Refusal:
    """Refusal of a file that is too large."""
    return Refusal(
        413,
        f"larger than {most_bytes / 2**20:g} MiB, the limit of this server (max_upload_mb); "
        "compress or cut the file",
    )


def shown_name(name: bytes) -> str:
    """Name of an upload for messages and downloads: one line without folders.

    Browsers and curl send the bytes of UTF-8; RFC 7578 forbids the form with `*`, which the parser
    decodes all the same.
    """
    text = name.decode("utf-8", "replace")
    last = PurePosixPath(re.sub(r"[\\:]", "/", text)).name
    return printable(last)[:LONGEST_NAME] or "upload"


async def receive_form(
    receive: Receive, form: UploadForm, length: str, seconds: float, idle_seconds: float
) -> None:
    """Read the body of a request into a form.

    Args:
        receive: gives the events of the request, as ASGI defines them.
        form: parses and writes what arrives; in a thread, since disks are slow.
        length: header `Content-Length`, if there is one.
        seconds: for the whole body.
        idle_seconds: without a byte.

    Raises:
        Refusal: no form, too large, or too slow.
        ClientGone: the client closed the connection.
    """
    if length.isdecimal() and int(length) > form.most_bytes + ROOM_BYTES:
        raise too_large(form.most_bytes)
    try:
        async with asyncio.timeout(seconds):
            while True:
                async with asyncio.timeout(idle_seconds):
                    event = await receive()
                if event["type"] == "http.disconnect":
                    raise ClientGone
                if event.get("body"):
                    await asyncio.to_thread(form.write, event["body"])
                if not event.get("more_body"):
                    break
    except TimeoutError as error:
        raise Refusal(
            408,
            f"the upload stopped for {idle_seconds:g} seconds (idle_seconds), or took more than "
            f"{seconds:g} (upload_seconds); send it once more",
        ) from error
    finally:
        await asyncio.to_thread(form.close)
    form.check_complete()
