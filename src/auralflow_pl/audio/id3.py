"""Tags of MP3 files, which libsndfile would write as UTF-8 but mark as Latin-1."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "date": b"TDRC",
    "tracknumber": b"TRCK",
    "genre": b"TCON",
    "comment": b"COMM",
    "copyright": b"TCOP",
}

UTF_8 = b"\x03"

NO_LANGUAGE = b"XXX\0"  # and no description


def prepend(path: Path, tags: Mapping[str, str]) -> None:
    """Put an ID3v2.4 tag before the sound of an MP3 file that has none."""
    sound = path.rename(path.with_name(f"{path.name}.untagged"))
    with sound.open("rb") as source, path.open("wb") as file:
        file.write(tag(tags))
        shutil.copyfileobj(source, file)
    sound.unlink()


def tag(tags: Mapping[str, str]) -> bytes:
    """An ID3v2.4 tag (https://id3.org/id3v2.4.0-structure); only names of `FRAMES` are kept."""
    frames = b"".join(frame(FRAMES[name], text) for name, text in tags.items() if name in FRAMES)
    return b"ID3\x04\0\0" + synchsafe(len(frames)) + frames


def frame(kind: bytes, text: str) -> bytes:
    """One text of a tag."""
    language = NO_LANGUAGE if kind == b"COMM" else b""
    content = UTF_8 + language + text.encode("utf-8", "replace")
    return kind + synchsafe(len(content)) + b"\0\0" + content


def synchsafe(number: int) -> bytes:
    """Four bytes of seven bits, so that no decoder takes them for the start of a frame of sound."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))
