"""Spans of tracks whose stems are wrong, which training leaves out or draws less often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from auralflow_pl.data.table import read_rows
from auralflow_pl.data.tracks import SPLIT_NAMES, Track
from auralflow_pl.errors import InputError, did_you_mean, shown


class MarkedSpan(NamedTuple):
    """A span of a stem; fields are the columns of the table."""

    split: str
    track: str
    stem: str
    start: float  # seconds
    end: float  # seconds
    weight: float = 0.0  # share of the chunks with the span that is kept; 0: it is left out
    check: str = ""  # fault, see `doctor`
    level_db: float | None = None  # foreign sound relative to the stem


class MarkedSpans:
    """Spans by track and stem.

    Args:
        spans: the spans; only those of the training set count.
        source: where they are from, for messages.
    """

    def __init__(self, spans: Sequence[MarkedSpan], source: str = "spans") -> None:
        self.source = source
        self.found: dict[tuple[str, str], list[MarkedSpan]] = {}
        for span in spans:
            if span.split == "train":
                self.found.setdefault((span.track, span.stem), []).append(span)

    @classmethod
    def read(cls, path: Path) -> MarkedSpans:
        """Read a table, `.csv` or `.jsonl`, with the columns of `MarkedSpan`.

        Columns are `track`, `stem`, `start` and `end`, and optional `split` (default: `train`),
        `weight` (from 0 to 1, default: 0), `check` and `level_db`, which are not used.

        Raises:
            InputError: it cannot be read, or a line is not valid.
        """
        spans = []
        for row in read_rows(path, MarkedSpan._fields[1:5], ("split", *MarkedSpan._fields[5:])):
            start, end, weight = map(row.number, ("start", "end", "weight"))
            if start is None or end is None or not 0 <= start < end:
                raise InputError(f"{row.place}: expected 0 <= start < end, in seconds")
            if not 0 <= (weight or 0) <= 1:
                raise InputError(f"{row.place}: weight={weight:g}: expected from 0 to 1")
            split = row.text("split") if "split" in row.values else "train"
            if split not in SPLIT_NAMES:
                raise InputError(f"{row.place}: split={split}: {did_you_mean(split, SPLIT_NAMES)}")
            names = (split, row.text("track"), row.text("stem"))
            spans.append(MarkedSpan(*names, start, end, weight or 0))
        return cls(spans, str(path))

    def check(self, tracks: Sequence[Track]) -> None:
        """Raise InputError if a span is of a track or a stem that the training does not have."""
        stems = {track.name: track.stems for track in tracks}
        for track, stem in self.found:
            if track not in stems:
                raise InputError(f"{self.source}: track={shown(track)}: not in the training set")
            if stem not in stems[track]:
                hint = did_you_mean(stem, stems[track])
                raise InputError(f"{self.source}: stem={shown(stem)} of {track}: {hint}")

    def weight(self, track: Track, stems: Sequence[str], start: int, frames: int) -> float:
        """Least weight of the spans of some stems in a part of a track; 1 if there are none."""
        first, last = start / track.sample_rate, (start + frames) / track.sample_rate
        spans = (span for stem in stems for span in self.found.get((track.name, stem), ()))
        return min((s.weight for s in spans if s.start < last and s.end > first), default=1.0)
