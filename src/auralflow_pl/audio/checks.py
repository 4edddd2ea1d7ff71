"""Checks of sound files: size, sample rate, truncated and non-finite data."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import torch
from torch import Tensor

from auralflow_pl.errors import InputError

# Placeholders that streaming writers put into size fields.
UNKNOWN_SIZES = (0, 2**32 - 1, 2**63 - 1, 2**64 - 1)

STREAMED_SIZES = range(0x7EFFF000, 2**31)  # placeholders of SoX: 0x7F000000 or 0x7FFFF000, or near

LARGEST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page: header, segment table, segments

AVI_CHUNKS = (b"LIST", b"RIFF")  # chunks of AVI that hold chunks, among them those with sound

EBML_HEADER, EBML_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # identifiers of Matroska

LARGEST_HEADER = 2**16  # bytes at the beginning of a pipe that are kept for `check_chunks`

RATES_HZ = range(4000, 768001)


class ChunkLayout(NamedTuple):
    """Layout of the chunks of a container format; a chunk has a name, a size and a content."""

    magic: bytes  # first bytes of a file
    first: int  # offset of the first chunk in bytes
    header: str  # `struct` format of name and size
    data: bytes  # name of the chunk that holds the audio
    align: int = 2  # alignment of chunks in bytes
    counted: int = 0  # bytes before the content that the size includes


CHUNK_LAYOUTS = (
    ChunkLayout(b"RIFF", 12, "<4sI", b"data"),
    ChunkLayout(b"RIFX", 12, ">4sI", b"data"),
    ChunkLayout(b"RF64", 12, "<4sI", b"data"),
    ChunkLayout(b"FORM", 12, ">4sI", b"SSND"),  # AIFF
    ChunkLayout(b"caff", 8, ">4sq", b"data", 1),
    ChunkLayout(b"riff", 40, "<16sQ", b"data", 8, 24),  # W64
    ChunkLayout(b"\x30\x26\xb2\x75", 0, "<16sQ", b"\x36\x26\xb2\x75", 1, 24),  # ASF (WMA)
    # AU has no chunks, only a header: offset of the audio, its size, 12 bytes that are not counted.
    ChunkLayout(b".snd", 4, ">4sI", b"", 1, -12),
)


def check_finite(samples: Tensor, name: str) -> Tensor:
    """Return `samples`; raise InputError if one of them is NaN or infinite."""
    if not torch.isfinite(samples.sum(dtype=torch.float64)):
        raise InputError(f"{name}: has NaN or infinite samples; repair or replace the file")
    return samples


def check_rate(sample_rate: int, name: str) -> None:
    """Raise InputError for a sample rate outside of `RATES_HZ`, a sign of a damaged header."""
    if sample_rate not in RATES_HZ:
        raise InputError(
            f"{name}: a sample rate of {sample_rate} Hz; expected {RATES_HZ[0]} to {RATES_HZ[-1]}"
        )


def check_length(path: Path) -> None:
    """Raise InputError if the header of a file promises more data than the file holds.

    libsndfile reads truncated files without an error.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        check_chunks(file, size, str(path))
        check_segment(file, size, str(path))
        check_last_page(file, size, str(path))


def check_chunks(file: BinaryIO, size: int, name: str) -> None:
    """Raise InputError if the header promises more audio than a file of `size` bytes can hold.

    Args:
        file: open binary file at its beginning; only the bytes up to the audio are read.
        size: size of the complete file in bytes.
        name: name of the file, for messages.
    """
    start = file.read(36)
    form = next((form for form in CHUNK_LAYOUTS if start.startswith(form.magic)), None)
    if form is None:
        return
    file.seek(form.first)
    length = struct.calcsize(form.header)
    while len(header := file.read(length)) == length:
        chunk, promised = struct.unpack(form.header, header)
        held = size - file.tell() + form.counted
        if chunk.startswith(form.data):
            if form.magic == b"RF64" and promised == 0xFFFFFFFF:
                (promised,) = struct.unpack("<Q", start[28:36])
            check_held(name, "header", promised, held)
            return
        if promised > held:
            if chunk in AVI_CHUNKS:
                check_held(name, "header", promised, held)
            return
        rest = max(0, promised - form.counted)
        file.seek(rest + -rest % form.align, 1)


def check_last_page(file: BinaryIO, size: int, name: str) -> None:
    """Raise InputError if the last page of an Ogg file of `size` bytes is truncated.

    The end-of-stream flag is not checked, since recordings of broadcasts lack it.
    """
    file.seek(0)
    if file.read(4) != b"OggS":
        return
    file.seek(max(0, size - LARGEST_PAGE))
    _, mark, page = file.read().rpartition(b"OggS\0")
    if mark:
        segments = page[21] if len(page) > 21 else 0
        check_held(name, "last page", 22 + segments + sum(page[22 : 22 + segments]), len(page))


def check_segment(file: BinaryIO, size: int, name: str) -> None:
    """Raise InputError if the segment of a Matroska or WebM file of `size` bytes is truncated."""
    file.seek(0)
    if file.read(4) != EBML_HEADER:
        return
    file.seek(read_ebml_size(file), 1)
    if file.read(4) == EBML_SEGMENT:
        promised = read_ebml_size(file)
        check_held(name, "header", promised, size - file.tell())


def read_ebml_size(file: BinaryIO) -> int:
    """Read a size of one to eight bytes; its leading zeros tell how many; 0 if unknown."""
    first = file.read(1) or b"\0"
    bits = 7 * (9 - first[0].bit_length())
    number = int.from_bytes(first + file.read(bits // 7 - 1)) & (2**bits - 1)
    return 0 if number == 2**bits - 1 else number


def check_held(name: str, part: str, promised: int, held: int) -> None:
    """Raise InputError if a file holds fewer bytes than promised.

    Args:
        name: name of the file, for messages.
        part: part of the file that promises the bytes, for messages.
        promised: number of bytes according to that part, or a placeholder.
        held: number of bytes in the file.
    """
    if promised in UNKNOWN_SIZES or promised in STREAMED_SIZES:
        return
    if promised > held:
        raise InputError(
            f"{name}: truncated: the {part} promises {promised} bytes, the file holds {held} of "
            "them; replace the file"
        )


class CountingReader:
    """Wrapper of a non-seekable binary file that keeps its first 64 KiB and counts its bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.start, self.size = file, b"", 0

    def read(self, size: int) -> bytes:
        """Return the next bytes of the file, at most `size`."""
        content = self.file.read(size)
        self.start += content[: max(0, LARGEST_HEADER - self.size)]
        self.size += len(content)
        return content

    def complete(self, blocks: Iterator[Tensor], name: str) -> Iterator[Tensor]:
        """Yield the blocks decoded from the file.

        Raises:
            InputError: after the last block, if the file is truncated.
        """
        yield from blocks
        check_chunks(io.BytesIO(self.start), self.size, name)
        check_segment(io.BytesIO(self.start), self.size, name)
