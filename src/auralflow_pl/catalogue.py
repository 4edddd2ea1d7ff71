"""What is separated, and where the stems go: files, folders, globs and lists of files."""

from __future__ import annotations

import codecs
import glob
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, takewhile
from pathlib import Path

from auralflow_pl.audio.reading import AUDIO_SUFFIXES
from auralflow_pl.errors import InputError, did_you_mean

LIST_SUFFIXES = (".m3u", ".m3u8", ".txt", ".lst")
FIELDS = ("track", "target", "ext")
STDIN = "-"
LONGEST_LIST = 2**24  # bytes


@dataclass(frozen=True)
class Job:
    """A file to separate."""

    path: Path | None  # None: standard input
    track: str  # where it goes: the name, with the folders that are kept

    @property
    def name(self) -> str:
        """For messages."""
        return "standard input" if self.path is None else str(self.path)

    @property
    def size(self) -> int:
        """Bytes of the file; 1 if nobody knows."""
        try:
            return self.path.stat().st_size if self.path else 1
        except OSError:
            return 1


@dataclass(frozen=True)
class Template:
    """Names of output files, with the fields `{track}`, `{target}` and `{ext}`."""

    pattern: str

    @classmethod
    def of(cls, output: str) -> Template:
        """Of the key `output`: a template, or a folder that gets one for each track.

        Raises:
            InputError: an unknown field, or none for the target.
        """
        fields = re.findall(r"\{(.*?)\}", output)
        for field in fields:
            if field not in FIELDS:
                hint = did_you_mean(field, FIELDS)
                raise InputError(f"output={output}: no field {field!r}, {hint}")
        if not fields:
            return cls(f"{output}/{{track}}/{{target}}.{{ext}}")
        if "target" not in fields:
            raise InputError(f"output={output}: expected {{target}} in it, or no field at all")
        return cls(output if re.search(r"(\.\w+|\{ext\})$", output) else f"{output}.{{ext}}")

    @property
    def base(self) -> Path:
        """The folder that everything is in."""
        return Path(self.pattern.partition("{")[0] + "x").parent

    @property
    def suffix(self) -> str | None:
        """The format that the template itself names."""
        return None if "{ext}" in self.pattern else Path(self.pattern).suffix[1:] or None

    def path(self, track: str, target: str, ext: str) -> Path:
        """The file of a stem."""
        values = {"track": track, "target": target, "ext": ext}
        return Path(re.sub(r"\{(\w+)\}", lambda field: values[field[1]], self.pattern))

    def beside(self, track: str, name: str, ext: str) -> Path:
        """A file that belongs to a track, but is no stem."""
        path = self.path(track, name, ext)
        return path if path.name.endswith(f".{ext}") else path.with_suffix(f".{ext}")


def find_jobs(source: str | Sequence[str], template: Template) -> list[Job]:
    """The files that the key `input` means, each with a track of its own.

    Args:
        source: a file, folder, glob, list of files (.m3u, .txt), `-`, or several of them.
        template: of the output; what is in it already is no input.

    Raises:
        InputError: nothing is there, or tracks cannot be told apart.
    """
    sources = [source] if isinstance(source, str) else [str(entry) for entry in source]
    jobs = [job for entry in sources for job in jobs_of(entry, template)]
    unique = list({job.path and job.path.absolute(): job for job in jobs}.values())
    if not unique:
        raise InputError("input: an empty list; expected files or folders")
    named = distinct(unique)
    if len(named) > 1 and "{track}" not in template.pattern:
        raise InputError(f"output={template.pattern}: expected {{track}} in it for several files")
    return named


def jobs_of(source: str, template: Template) -> list[Job]:
    """The files that one entry means."""
    path = Path(source)
    if not source:
        raise InputError("input=: an empty name; expected a file, a folder or a pattern")
    if source == STDIN:
        return [Job(None, "stdin")]
    if path.is_dir():
        return folder_jobs(path, template)
    if path.is_file():
        is_list = path.suffix.lower() in LIST_SUFFIXES
        return list_jobs(path) if is_list else [Job(path, track_name(path))]
    if path.exists():
        raise InputError(f"input={source}: is no regular file; pass input=- and `< {source}`")
    if glob.has_magic(source):
        return glob_jobs(source, template)
    raise InputError(f"input={source}: no such file or folder")


def glob_jobs(pattern: str, template: Template) -> list[Job]:
    """All files that fit a pattern, each once, but stems of ours."""
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - absolute patterns, and **
    found = [p for p in map(Path, names) if p.is_file()]
    once = {p.resolve(): p for p in sorted(found, key=lambda p: (-len(p.parts), p))}  # links
    parts = Path(pattern).parts[:-1]
    fixed = Path(*takewhile(lambda part: not glob.has_magic(part), parts))
    inputs = without_stems(sorted(once.values()), fixed, template)
    if not inputs:
        raise InputError(f"input={pattern}: no file fits this pattern, but for stems of ours")
    return [Job(p, relative_track(p, fixed)) for p in inputs]


def folder_jobs(folder: Path, template: Template) -> list[Job]:
    """All audio files below a folder, but hidden ones and stems of ours."""
    sounds = sorted(p for p in files_below(folder) if p.suffix.lower() in AUDIO_SUFFIXES)
    found = without_stems(sounds, folder, template)
    if not found:
        raise InputError(
            f"input={folder}: no audio files in this folder; expected WAV, FLAC, MP3 ..."
        )
    return [Job(path, relative_track(path, folder)) for path in found]


def files_below(folder: Path) -> Iterator[Path]:
    """All files but hidden ones; links to folders are followed, and each folder is seen once."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(root, name) for name in names if not name.startswith(".")]
        yield from (path for path in paths if path.is_file())


def without_stems(paths: Sequence[Path], root: Path, template: Template) -> list[Path]:
    """The paths found below `root` that no report lists, and that are not in the output folder."""
    base = template.base.resolve()
    places = [path.resolve() for path in paths]
    if root.resolve() in base.parents:
        return [p for p, place in zip(paths, places, strict=True) if base not in place.parents]
    reports = {path.parent / "report.json" for path in paths}
    if any(base in place.parents for place in places):
        reports.update(base.rglob("*.json"))
    stems = stems_of(reports)
    return [p for p, place in zip(paths, places, strict=True) if place not in stems]


def stems_of(reports: Iterable[Path]) -> set[Path]:
    """The files that reports of ours list; other files are no reports."""
    found = set()
    for report in reports:
        try:
            stems = json.loads(report.read_text(encoding="utf-8"))["stems"]
            found |= {(report.parent / stem["file"]).resolve() for stem in stems.values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def list_jobs(playlist: Path) -> list[Job]:
    """The files that a playlist or text file names, one a line; `#` begins a comment.

    Relative names are meant from its folder. Whatever they are, stems stay in the output folder.
    """
    lines = list_text(playlist).splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise InputError(f"input={playlist}: names no file; expected one in each line")
    paths = [Path(os.path.normpath(playlist.parent / name)) for name in names]
    return [Job(path, relative_track(path, playlist.parent)) for path in paths]


def list_text(playlist: Path) -> str:
    """The text of a list in UTF-8, in UTF-16 with a mark, or else in Latin-1."""
    content = playlist.read_bytes() if playlist.stat().st_size <= LONGEST_LIST else b"\0"
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise InputError(f"input={playlist}: no list of files; expected one name in each line")
    return text


def relative_track(path: Path, root: Path) -> str:
    """The track of a file below `root`, with the folders between; elsewhere its name alone."""
    name = track_name(path)
    try:
        return str(path.relative_to(root).with_name(name)) if name else path.name
    except ValueError:
        return name


def track_name(path: Path) -> str:
    """The file name without `.wav`, `.stem.mp4` and the like; never one that means a folder."""
    name = path.stem.removesuffix(".stem") or path.stem
    return name if name.strip(".") else "track"


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """Tracks of the same name keep their suffix, or else are numbered."""
    shared = Counter(job.track for job in jobs)
    out: dict[str, Job] = {}
    for job in jobs:
        name = job.track
        if shared[name] > 1 and job.path:
            name = str(Path(name).with_name(job.path.name))
        numbers = (f"{name} ({number})" for number in count(2))
        track = next(n for n in chain([name], numbers) if n not in out)
        out[track] = Job(job.path, track)
    return list(out.values())


def choose_shard(jobs: Sequence[Job], shard: str | None) -> list[Job]:
    """Every n-th job from the i-th on, for `shard=i/n`.

    Raises:
        InputError: not of this form, or i is not from 1 to n.
    """
    if shard is None:
        return list(jobs)
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, shards = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= shards:
        raise InputError(f"shard={shard}: expected <i>/<n> with i from 1 to n, as in shard=1/4")
    return list(jobs)[number - 1 :: shards]
