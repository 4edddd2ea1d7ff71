"""Data sets whose files are listed in a table, with spans, weights and splits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auralflow_pl.audio.reading import read_header
from auralflow_pl.checks.values import one_of
from auralflow_pl.data.sources.fitting import Fitting, Part
from auralflow_pl.data.sources.stem_folder import divide_tracks
from auralflow_pl.data.table import Row, read_rows
from auralflow_pl.data.tracks import SPLIT_NAMES, NoTracksError, Track, TrackSource
from auralflow_pl.errors import InputError, did_you_mean, shown

REQUIRED, OPTIONAL = ("track", "stem", "path"), ("start", "end", "weight", "split")

LABELS = ("singer", "genre", "dataset")


@dataclass
class Song:
    """The lines of a track."""

    first: str  # place of its first line, for messages
    lines: dict[str, Row] = field(default_factory=dict)  # by stem
    given: dict[str, tuple[str | float, str]] = field(default_factory=dict)  # and where

    def note(self, column: str, value: str | float | None, row: Row) -> None:
        """Note a value that the whole track has; lines may leave it out.

        Raises:
            InputError: another line of the track has another value.
        """
        if value is None:
            return
        known, place = self.given.setdefault(column, (value, row.place))
        if known != value:
            raise InputError(
                f"{row.place}: {column} {value} of {row.values['track']}, but {known} in "
                f"{place.rpartition(', ')[2]}; expected one {column} for each track"
            )


class Manifest(TrackSource):
    """Tracks listed in a table, with one line for each file of a track.

    Columns are `track`, `stem` (one of `stems`, or `mixture`) and `path`, and, all optional,
    `start` and `end` (the span of the file that is read, in seconds), `weight` (relative number of
    chunks of the track), `split`, and the `labels` of the track. Without splits, a tenth of the
    tracks, at least one, is in valid and as many in test, chosen by their names as in a
    `StemFolder`.

    Args:
        file: the table, `.csv` or `.jsonl`, see `read_rows`.
        stems: names of the stems, in the order of the tensors.
        root: folder that paths begin in, which they cannot leave; None: that of the table.
        max_tracks: use only the first tracks (by name) of each split.
        mismatch: what to do with stems of a track that differ, see `Fitting`.
        missing: what to do with a stem without a line, see `Fitting`.
        labels: further columns, by which draws can be balanced.

    Raises:
        InputError: no table, or one of its lines is not valid.
    """

    def __init__(
        self,
        file: str | Path | None,
        stems: Sequence[str],
        root: str | Path | None = None,
        max_tracks: int | None = None,
        mismatch: str = "error",
        missing: str = "error",
        labels: Sequence[str] = LABELS,
    ) -> None:
        if file is None:
            raise InputError("data.file: not given; pass data.file=<songs.csv or songs.jsonl>")
        self.file = Path(file).expanduser()
        self.root = self.file.parent if root is None else Path(root).expanduser()
        self.stems: tuple[str, ...] = tuple(stems)
        self.max_tracks = max_tracks
        self.fitting = Fitting(self.stems, mismatch, missing)
        self.songs: dict[str, Song] = {}
        self.labels = tuple(labels)
        for row in read_rows(self.file, REQUIRED, (*OPTIONAL, *self.labels)):
            self.add(row)
        self.splits = self.divided()

    def add(self, row: Row) -> None:
        """Add a line to its track.

        Raises:
            InputError: a value is not valid, or contradicts another line.
        """
        name, stem, path = map(row.text, REQUIRED)
        if name in (".", "..") or set("/\\") & set(name):
            raise InputError(f"{row.place}: track={shown(name)}: expected a name without / and \\")
        if stem not in (*self.stems, "mixture"):
            hint = did_you_mean(stem, (*self.stems, "mixture"))
            given = f"data.stems=[{','.join(self.stems)}]"
            raise InputError(f"{row.place}: stem={shown(stem)}: not in {given}, {hint}")
        if Path(path).is_absolute() or ".." in Path(os.path.normpath(path)).parts:
            raise InputError(
                f"{row.place}: path={shown(path)}: leaves {self.root}; expected a path in this "
                "folder, or pass data.root=<folder>"
            )
        start, end, weight = map(row.number, ("start", "end", "weight"))
        if (start or 0) < 0:
            raise InputError(f"{row.place}: start={start:g}: expected at least 0 seconds")
        if end is not None and end <= (start or 0):
            raise InputError(f"{row.place}: end={end:g}: expected more than start={start or 0:g}")
        if weight is not None and weight <= 0:
            raise InputError(f"{row.place}: weight={weight:g}: expected more than 0")
        split = row.text("split") if "split" in row.values else None
        if split is not None:
            one_of(f"{row.place}: split", split, SPLIT_NAMES)
        song = self.songs.setdefault(name, Song(row.place))
        if stem in song.lines:
            raise InputError(
                f"{row.place}: {stem} of {name} is in "
                f"{song.lines[stem].place.rpartition(', ')[2]} already; expected one line for it"
            )
        song.lines[stem] = row
        song.note("split", split, row)
        song.note("weight", weight, row)
        for label in self.labels:
            song.note(label, row.text(label) if label in row.values else None, row)

    def divided(self) -> dict[str, list[Path]]:
        """Names of the tracks of each split below the path of the table, sorted.

        Raises:
            InputError: some tracks have a split and others have none.
        """
        names = sorted(self.songs)
        without = [name for name in names if "split" not in self.songs[name].given]
        if len(without) == len(names):
            return divide_tracks([self.file / name for name in names])
        if without:
            raise InputError(
                f"{self.songs[without[0]].first}: no split for {without[0]}; expected one of "
                f"{', '.join(SPLIT_NAMES)} for every track or for none"
            )
        return {
            split: [self.file / n for n in names if self.songs[n].given["split"][0] == split]
            for split in SPLIT_NAMES
        }

    def find(self, split: str) -> list[Path]:
        """Names of the tracks of a split below the path of the table, sorted."""
        found = self.splits[one_of("split", split, SPLIT_NAMES)]
        if not found:
            raise NoTracksError(
                f"no {split} tracks in data.file={self.file} with {len(self.songs)} tracks; "
                f"expected lines with split={split}, or at least three tracks and no splits at all"
            )
        return found[: self.max_tracks]

    def track(self, path: Path, split: str) -> Track:
        """Open a track after checking the headers of its files and its spans."""
        song = self.songs[path.name]
        parts = {stem: self.part(row) for stem, row in song.lines.items()}
        try:
            return self.fitting.track(
                parts,
                path.name,
                f"expected a line for each of {', '.join(self.stems)}",
                name=path.name,
                split=split,
                root=self.root,
                weight=float(song.given.get("weight", (1.0, ""))[0]),
                labels=tuple((n, str(song.given[n][0])) for n in self.labels if n in song.given),
            )
        except InputError as error:
            raise InputError(f"{song.first}: {error}") from error

    def part(self, row: Row) -> Part:
        """The file of a line, or its span.

        Raises:
            InputError: the file cannot be read, or ends before the span.
        """
        path = self.root / os.path.normpath(row.text("path"))
        try:
            header = read_header(path)
        except InputError as error:
            raise InputError(f"{row.place}: {error}") from error
        start, end = row.number("start"), row.number("end")
        if start is None and end is None:
            return Part(path, header)
        rate = header.sample_rate
        first = round((start or 0) * rate)
        last = header.frames if end is None else round(end * rate)
        if not first < last <= header.frames:
            given = f"start={start:g}" if end is None else f"end={end:g}"
            raise InputError(
                f"{row.place}: {given}: {path} has {header.frames / rate:.3f} s; expected a span "
                "in it, without end to read all that follows"
            )
        return Part(path, header._replace(frames=last - first), first)
