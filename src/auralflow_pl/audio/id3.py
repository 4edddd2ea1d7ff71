"""ID3 tags of MP3 files in UTF-8, since libsndfile marks UTF-8 as Latin-1."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

ID3_FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "date": b"TDRC",
    "tracknumber": b"TRCK",
    "genre": b"TCON",
    "comment": b"COMM",
    "copyright": b"TCOP",
}

ENCODING_UTF_8 = b"\x03"

NO_LANGUAGE = b"XXX\0"  # undefined language and empty description of a comment


def prepend_tags(path: Path, tags: Mapping[str, str]) -> None:
    """Put an ID3v2.4 tag in front of the audio of an MP3 file that has no tag."""
    sound = path.replace(path.with_name(f"{path.name}.untagged"))
    with sound.open("rb") as source, path.open("wb") as file:
        file.write(encode_tag(tags))
        shutil.copyfileobj(source, file)
    sound.unlink()


def encode_tag(tags: Mapping[str, str]) -> bytes:
    """Encode an ID3v2.4 tag (https://id3.org/id3v2.4.0-structure).

    Names that are not in `ID3_FRAMES` are left out.
    """
    frames = b"".join(
        encode_frame(ID3_FRAMES[name], text) for name, text in tags.items() if name in ID3_FRAMES
    )
    return b"ID3\x04\0\0" + synchsafe_integer(len(frames)) + frames


def encode_frame(kind: bytes, text: str) -> bytes:
    """Encode one text frame of a tag; `kind` is the four-letter identifier of the frame."""
    language = NO_LANGUAGE if kind == b"COMM" else b""
    content = ENCODING_UTF_8 + language + text.encode("utf-8", "replace")
    return kind + synchsafe_integer(len(content)) + b"\0\0" + content


def synchsafe_integer(number: int) -> bytes:
    """Encode a number in four bytes of seven bits each.

    No decoder can take such bytes for the sync word of an MPEG frame.
    """
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
