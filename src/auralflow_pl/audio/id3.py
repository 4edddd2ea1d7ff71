"""Tags of MP3 files, which libsndfile would write as UTF-8 but mark as Latin-1."""

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

NO_LANGUAGE = b"XXX\0"  # and no description


def prepend_tags(path: Path, tags: Mapping[str, str]) -> None:
    """Put an ID3v2.4 tag before the sound of an MP3 file that has none."""
    sound = path.rename(path.with_name(f"{path.name}.untagged"))
    with sound.open("rb") as source, path.open("wb") as file:
        file.write(encode_tag(tags))
        shutil.copyfileobj(source, file)
    sound.unlink()


def encode_tag(tags: Mapping[str, str]) -> bytes:
    """An ID3v2.4 tag (https://id3.org/id3v2.4.0-structure); only names of `ID3_FRAMES` are kept."""
    frames = b"".join(
        encode_frame(ID3_FRAMES[name], text) for name, text in tags.items() if name in ID3_FRAMES
    )
    return b"ID3\x04\0\0" + synchsafe_integer(len(frames)) + frames


def encode_frame(kind: bytes, text: str) -> bytes:
    """One text of a tag."""
    language = NO_LANGUAGE if kind == b"COMM" else b""
    content = ENCODING_UTF_8 + language + text.encode("utf-8", "replace")
    return kind + synchsafe_integer(len(content)) + b"\0\0" + content


def synchsafe_integer(number: int) -> bytes:
    """Four bytes of seven bits, so that no decoder takes them for the start of a frame of sound."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
