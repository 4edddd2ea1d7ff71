"""Whether libsndfile knows where the sound of a file ends; FFmpeg reads most other files."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import BinaryIO

import soundfile

from auralflow_pl.audio.packets import LARGEST_TAG_HEADER, tag_length
from auralflow_pl.errors import InputError
from auralflow_pl.system.files import file_version

LARGEST_SIDE_INFO = 256  # bytes at the beginning of an MP3 frame that may hold a length

FIRST_PAGE, PAGE_HEADER = 2, 27  # flag of an Ogg page that begins a stream; size of its header

FLAC_START = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # marker and header of the first block

FLAC_START_BYTES = 8


def length_is_known(file: soundfile.SoundFile, path: Path) -> bool:
    """Whether the number of samples that libsndfile states is that of the whole file.

    It is not for streamed FLAC and WAV files without a length, for MPEG audio without a Xing or
    VBRI header, whose length libsndfile guesses, and for several sounds one after the other.
    """
    if file.frames in (0, 2**63 - 1):
        return False
    if file.subtype.startswith("MPEG"):
        with path.open("rb") as content:
            return file.format in ("MP3", "MPEG") and mpeg_length_is_known(content)
    if file.format == "OGG":
        return not is_chained(path, file_version(path))
    return True


def mpeg_length_is_known(file: BinaryIO) -> bool:
    """Whether the first frame of an MP3 file holds its length, and no more sound follows."""
    start = skip_tags(file, 0)
    frame = file.read(LARGEST_SIDE_INFO)
    if b"VBRI" in frame:
        return True
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or place + 16 > len(frame) or not frame[place + 7] & 1:
        return False
    if not frame[place + 7] & 2:  # no number of bytes
        return True
    skip_tags(file, start + int.from_bytes(frame[place + 12 : place + 16], "big"))
    after = file.read(2)
    return not (after[:1] == b"\xff" and after[1:] >= b"\xe0")


def skip_tags(file: BinaryIO, place: int) -> int:
    """Set a file to the end of the tags that begin at byte `place`; return that position."""
    file.seek(place)
    while tag := tag_length(file.read(LARGEST_TAG_HEADER)):
        place += tag
        file.seek(place)
    return file.seek(place)


@functools.lru_cache(maxsize=2**16)
def is_chained(path: Path, version: tuple[int, ...]) -> bool:  # noqa: ARG001 - part of the key
    """Whether another stream begins after the first pages with sound of an Ogg file.

    The headers of all pages are read, once in a process as long as `version` (`file_version`) is
    the same.
    """
    begun = False
    with path.open("rb") as file:
        while len(page := file.read(PAGE_HEADER)) == PAGE_HEADER and page.startswith(b"OggS"):
            first = bool(page[5] & FIRST_PAGE)
            if first and begun:
                return True
            begun = begun or not first
            file.seek(sum(file.read(page[26])), 1)
    return False


def check_not_joined(path: Path, frames: int) -> None:
    """Read a FLAC file; raise InputError if another follows after its `frames` samples.

    The frames of FLAC do not state their size, so there is no faster way to where the next begins.
    """
    starts, rest = 0, b""
    with path.open("rb") as file:
        while starts < 2 and (content := file.read(2**20)):
            starts += len(FLAC_START.findall(rest + content))
            rest = content[1 - FLAC_START_BYTES :]
    if starts > 1:
        raise InputError(
            f"{path}: several FLAC files joined to one, of which only the first {frames} samples "
            "can be read; convert it first (ffmpeg -i <joined>.flac <whole>.flac)"
        )
