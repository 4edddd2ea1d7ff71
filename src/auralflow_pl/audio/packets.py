"""Packets of MPEG audio and AC-3, whose files hold nothing but frames and, between them, tags."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import CodecContext, Packet
    from av.stream import Stream


log = logging.getLogger(__name__)

MPEG_CODECS = frozenset({"mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"})

# Codecs whose frames state their own length, and whose decoders accept a part of a frame.
FRAMED_CODECS = MPEG_CODECS | {"ac3", "eac3"}

LARGEST_TAG_HEADER = 32  # bytes


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec of a stream; empty if FFmpeg does not know it."""
    return "" if stream.codec_context is None else stream.codec_context.name


def tag_length(start: bytes) -> int:
    """Length in bytes of the ID3 or APE tag that begins with `start`; 0 if none does."""
    if start.startswith(b"TAG"):
        return 128
    if start.startswith(b"APETAGEX"):
        return LARGEST_TAG_HEADER + int.from_bytes(start[12:16], "little")
    if start.startswith(b"ID3") and len(start) >= 10:
        footer = 10 if start[5] & 0x10 else 0
        sizes = zip(start[6:10], (21, 14, 7, 0), strict=True)
        return 10 + footer + sum(byte << shift for byte, shift in sizes)
    return 0


def without_tags(packets: Iterator[Packet]) -> Iterator[Packet]:
    """Leave out the tags between frames of MPEG audio, as where MP3 files were joined.

    A tag may hold what looks like a frame, so what follows the first is divided into frames anew.
    """
    skip, parser = 0, None
    for packet in packets:
        content = bytes(packet)
        while tag := tag_length(content[skip : skip + LARGEST_TAG_HEADER]):
            skip += tag
            parser = parser or new_parser(packet)
        if parser:
            for part in parser.parse(content[skip:] or None):
                part.stream = packet.stream
                yield part
        if not parser or not content:
            yield packet
        skip = max(0, skip - len(content))


def new_parser(packet: Packet) -> CodecContext:
    """A parser for the codec of a packet, at the beginning of a frame."""
    from av import CodecContext

    return CodecContext.create(packet.stream.codec_context.name, "r")


def report_gaps(packets: Iterator[Packet], name: str) -> Iterator[Packet]:
    """Yield all packets; log a warning if one is incomplete, or the last frame is.

    Formats without a length can tell no more. Recordings of broadcasts end anywhere, so this is no
    error.

    Args:
        packets: packets of a stream.
        name: name of the file, for the message.
    """
    before = last = None
    incomplete = False
    for packet in packets:
        incomplete = incomplete or packet.is_corrupt
        if packet.size:
            before, last = last, packet
        yield packet
    if incomplete or (before and last and is_part_of_frame(last, before)):
        say_incomplete(name)


def is_part_of_frame(packet: Packet, before: Packet) -> bool:
    """Whether a packet is shorter than its frame; `before` is a complete packet of its stream."""
    if codec_name(packet.stream) not in FRAMED_CODECS:
        return False
    follow = 3 * bytes(before)  # a parser ends a frame where the next one begins
    found = new_parser(packet).parse(bytes(packet) + follow)
    return bool(found) and found[0].size > packet.size


@functools.lru_cache
def say_incomplete(name: str) -> None:
    """Log the warning of an incomplete frame, once per file."""
    log.warning(
        "%s: an incomplete frame, so a part of the sound, mostly its end, may be missing; compare "
        "its length with that of the original",
        name,
    )
