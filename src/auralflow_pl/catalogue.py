"""What is separated, and where the stems go: files, folders, globs and lists of files."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from auralflow_pl.audio.reading import AUDIO_SUFFIXES
from auralflow_pl.errors import InputError, did_you_mean

LIST_SUFFIXES = (".m3u", ".m3u8", ".txt", ".lst")
FIELDS = ("track", "target", "ext")
STDIN = "-"


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
        return cls(output)

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
    if source == STDIN:
        return [Job(None, "stdin")]
    if path.is_dir():
        return folder_jobs(path, template)
    if path.is_file():
        is_list = path.suffix.lower() in LIST_SUFFIXES
        return list_jobs(path) if is_list else [Job(path, track_name(path))]
    if glob.has_magic(source):
        names = glob.glob(source, recursive=True)  # noqa: PTH207 - absolute patterns, and **
        found = sorted(p for p in map(Path, names) if p.is_file())
        if not found:
            raise InputError(f"input={source}: no file fits this pattern")
        fixed = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts[:-1]))
        return [Job(p, relative_track(p, fixed)) for p in found]
    raise InputError(f"input={source}: no such file or folder")


def folder_jobs(folder: Path, template: Template) -> list[Job]:
    """All audio files below a folder, but hidden ones and stems of ours."""
    base = template.base.resolve()
    inside = folder.resolve() in base.parents
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() not in AUDIO_SUFFIXES or not path.is_file():
            continue
        made = base in path.resolve().parents if inside else is_stem(path)
        if not made:
            found.append(Job(path, relative_track(path, folder)))
    if not found:
        raise InputError(
            f"input={folder}: no audio files in this folder; expected WAV, FLAC, MP3 ..."
        )
    return found


def is_stem(path: Path) -> bool:
    """Whether a file lies beside a report of ours."""
    return (path.parent / "report.json").is_file()


def list_jobs(playlist: Path) -> list[Job]:
    """The files that a playlist or text file names, one a line; `#` begins a comment.

    Relative names are meant from its folder. Whatever they are, stems stay in the output folder.
    """
    lines = playlist.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise InputError(f"input={playlist}: names no file; expected one in each line")
    paths = [Path(os.path.normpath(playlist.parent / name)) for name in names]
    return [Job(path, relative_track(path, playlist.parent)) for path in paths]


def relative_track(path: Path, root: Path) -> str:
    """The track of a file below `root`, with the folders between; elsewhere its name alone."""
    name = track_name(path)
    try:
        return str(path.relative_to(root).with_name(name)) if name else path.name
    except ValueError:
        return name


def track_name(path: Path) -> str:
    """The file name without `.wav`, `.stem.mp4` and the like."""
    return path.stem.removesuffix(".stem") or path.stem or "track"


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """Tracks of the same name keep their suffix, or else are numbered."""
    shared = Counter(job.track for job in jobs)
    named = [
        Job(job.path, str(Path(job.track).with_name(job.path.name)))
        if shared[job.track] > 1 and job.path
        else job
        for job in jobs
    ]
    seen: Counter[str] = Counter()
    out = []
    for job in named:
        seen[job.track] += 1
        number = seen[job.track]
        out.append(job if number == 1 else Job(job.path, f"{job.track} ({number})"))
    return out


def choose_shard(jobs: Sequence[Job], shard: str | None) -> list[Job]:
    """Every n-th job from the i-th on, for `shard=i/n`.

    Raises:
        InputError: not of this form, or i is not from 1 to n.
    """
    if shard is None:
        return list(jobs)
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise InputError(f"shard={shard}: expected <i>/<n> with i from 1 to n, as in shard=1/4")
    return list(jobs)[number - 1 :: count]
