"""Find the files to separate: files, folders, globs and lists."""

from __future__ import annotations

import codecs
import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, takewhile
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from auralflow_pl.audio.reading import AUDIO_SUFFIXES
from auralflow_pl.errors import InputError
from auralflow_pl.stems.outputs import OutputTemplate
from auralflow_pl.stems.report_file import listed_stems
from auralflow_pl.system.folders import folders_below, visible

LIST_SUFFIXES = (".m3u", ".m3u8", ".txt", ".lst")

STDIN_NAME = "-"

MAX_LIST_BYTES = 2**24

FILE_URL = re.compile(r"file:(//[^/]*)?", re.IGNORECASE)  # the part before the path


@dataclass(frozen=True)
class InputFile:
    """A file to separate."""

    path: Path | None  # None: standard input
    track: str  # name of its output, with the subfolders to keep
    fault: str = ""  # why it cannot be separated, if that is known already

    @property
    def name(self) -> str:
        """Name of the file for messages."""
        return "standard input" if self.path is None else str(self.path)

    @property
    def size(self) -> int:
        """Size in bytes; 1 if unknown."""
        try:
            return self.path.stat().st_size if self.path else 1
        except OSError:
            return 1


def find_inputs(source: str | Sequence[str], template: OutputTemplate) -> list[InputFile]:
    """Find the files for the key `input`, and give each a distinct track name.

    Args:
        source: a file, folder, glob, list of files (.m3u, .txt), `-` for standard input, or
            several of them.
        template: output template; files already in the output folder are not inputs.

    Of several entries, one that finds nothing is a file with a `fault`: it stops no other.

    Raises:
        InputError: no files are found, or the template gives several tracks the same files.
    """
    if isinstance(source, str):
        jobs = inputs_of(source, template)
    else:
        jobs = [job for entry in source for job in entry_inputs(str(entry), template)]
    unique = list({job.path and (job.path.resolve(), job.path.name): job for job in jobs}.values())
    if not unique:
        raise InputError("input: an empty list; expected files or folders")
    named = distinct_tracks(unique)
    if len(named) > 1 and "{track}" not in template.pattern:
        raise InputError(f"output={template.pattern}: expected {{track}} in it for several files")
    return named


def entry_inputs(source: str, template: OutputTemplate) -> list[InputFile]:
    """The files of one of several entries, or the entry itself with its fault."""
    try:
        return inputs_of(source, template)
    except InputError as error:
        return [InputFile(Path(source), track_name(Path(source)), str(error))]


def inputs_of(source: str, template: OutputTemplate) -> list[InputFile]:
    """Find the files for one entry of the key `input`."""
    path = Path(source)
    if not source:
        raise InputError("input=: an empty name; expected a file, a folder or a pattern")
    if source == STDIN_NAME:
        return [InputFile(None, "stdin")]
    if path.is_dir():
        return folder_inputs(path, template)
    if path.is_file():
        is_list = path.suffix.lower() in LIST_SUFFIXES
        return list_inputs(path) if is_list else [InputFile(path, track_name(path))]
    if path.exists():
        raise InputError(f"input={source}: is no regular file; pass input=- and `< {source}`")
    if glob.has_magic(source):
        return glob_inputs(source, template)
    raise InputError(f"input={source}: no such file or folder")


def glob_inputs(pattern: str, template: OutputTemplate) -> list[InputFile]:
    """All files that match a glob pattern, each once, except stems listed in reports."""
    found = [path for path in matches(Path(pattern)) if path.is_file()]
    once = {p.resolve(): p for p in sorted(found, key=lambda p: (-len(p.parts), p))}  # links
    parts = Path(pattern).parts[:-1]
    fixed = Path(*takewhile(lambda part: not glob.has_magic(part), parts))
    inputs = without_stems(sorted(once.values()), fixed, template)
    if not inputs:
        hint = "; a [ in a name is written [[]" if "[" in pattern else ""
        raise InputError(f"input={pattern}: no file fits this pattern, except existing stems{hint}")
    return [InputFile(p, relative_track(p, fixed)) for p in inputs]


def matches(pattern: Path) -> Iterator[Path]:
    """Paths that match a glob pattern; `**` visits each real folder once, also through links."""
    if "**" not in pattern.parts:
        yield from map(Path, glob.glob(str(pattern)))  # noqa: PTH207 - absolute patterns
        return
    place = pattern.parts.index("**")
    rest = pattern.parts[place + 1 :] or ("*",)
    for top in matches(Path(*pattern.parts[:place])) if place else [Path()]:
        for folder in folders_below(top):
            yield from matches(Path(glob.escape(str(folder)), *rest))


def folder_inputs(folder: Path, template: OutputTemplate) -> list[InputFile]:
    """All audio files below a folder, except hidden files and stems listed in reports."""
    files = (path for below in folders_below(folder) for path in visible(below))
    sounds = sorted(p for p in files if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file())
    found = without_stems(sounds, folder, template)
    if not found:
        raise InputError(
            f"input={folder}: no audio files in this folder; expected WAV, FLAC, MP3 ..."
        )
    return [InputFile(path, relative_track(path, folder)) for path in found]


def without_stems(paths: Sequence[Path], root: Path, template: OutputTemplate) -> list[Path]:
    """The paths below `root` that are not in the output folder and not listed in a report."""
    base = template.base.resolve()
    places = [path.resolve() for path in paths]
    if root.resolve() in base.parents:
        return [p for p, place in zip(paths, places, strict=True) if base not in place.parents]
    reports = {path.parent / "report.json" for path in paths}
    if any(base in place.parents for place in places):
        reports.update(base.rglob("*.json"))
    stems = listed_stems(reports)
    return [p for p, place in zip(paths, places, strict=True) if place not in stems]


def list_inputs(playlist: Path) -> list[InputFile]:
    """Files named by a playlist or text file, one per line; `#` begins a comment.

    Names are relative to the folder of the list. The stems of files outside that folder stay
    within the output folder.
    """
    lines = list_text(playlist).splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise InputError(f"input={playlist}: names no file; expected one in each line")
    paths = [listed_path(name, playlist.parent) for name in names]
    return [InputFile(path, relative_track(path, playlist.parent)) for path in paths]


def listed_path(name: str, folder: Path) -> Path:
    """Path of an entry of a list in a folder.

    The name is taken literally if such a file exists; else percent-encoded, with backslashes for
    slashes, or both. A `file:` URL is read the same way.
    """
    bare = FILE_URL.sub("", name)
    slashed = bare.replace("\\", "/")
    spellings = (
        bare,
        unquote(bare, errors="surrogateescape"),
        slashed,
        unquote(slashed, errors="surrogateescape"),
    )
    paths = [Path(os.path.normpath(folder / spelling)) for spelling in spellings]
    return next((path for path in paths if path.exists()), paths[0])


def list_text(playlist: Path) -> str:
    """Decode a list of files as UTF-8, as UTF-16 with a byte order mark, or else as Latin-1."""
    content = playlist.read_bytes() if playlist.stat().st_size <= MAX_LIST_BYTES else b"\0"
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise InputError(f"input={playlist}: no list of files; expected one name in each line")
    return text


def relative_track(path: Path, root: Path) -> str:
    """Track name of a file with its subfolders below `root`; elsewhere without folders."""
    inside, name = Path(os.path.relpath(path, root)), track_name(path)
    return name if os.pardir in inside.parts else str(inside.with_name(name))


def track_name(path: Path) -> str:
    """File name without suffixes like `.wav` or `.stem.mp4`; `track` if only dots remain."""
    name = path.stem.removesuffix(".stem") or path.stem
    return name if name.strip(".") else "track"


def distinct_tracks(jobs: Sequence[InputFile]) -> list[InputFile]:
    """Make track names distinct: equal names keep their suffix, then get a number."""
    shared = Counter(job.track for job in jobs)
    out: dict[str, InputFile] = {}
    for job in jobs:
        name = job.track
        if shared[name] > 1 and job.path:
            name = str(Path(name).with_name(job.path.name))
        numbers = (f"{name} ({number})" for number in count(2))
        track = next(n for n in chain([name], numbers) if n not in out)
        out[track] = replace(job, track=track)
    return list(out.values())


def choose_shard(jobs: Sequence[InputFile], shard: str | None) -> list[InputFile]:
    """Every n-th job from the i-th on, for `shard=i/n`; None: all jobs.

    Raises:
        InputError: `shard` does not have this form, or i is not from 1 to n.
    """
    if shard is None:
        return list(jobs)
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, shards = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= shards:
        raise InputError(f"shard={shard}: expected <i>/<n> with i from 1 to n, as in shard=1/4")
    return list(jobs)[number - 1 :: shards]


class BytePipe(Protocol):
    """A binary stream that can only be read once."""

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; empty at the end."""


class HashingReader:
    """Reads a pipe and computes the SHA-256 of the bytes read."""

    def __init__(self, pipe: BytePipe) -> None:
        self.pipe, self.digest = pipe, hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; empty at the end."""
        content = self.pipe.read(size)
        self.digest.update(content)
        return content
