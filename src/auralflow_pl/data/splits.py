"""Splits of a data set, which have no sound in common."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError


def check_apart(tracks: Sequence[Track], others: Sequence[Track]) -> None:
    """Raise InputError if tracks of two splits have samples of a file in common."""
    known: dict[Path, list[tuple[float, float, Track]]] = {}
    for track in tracks:
        for path, first, last in places_in_files(track):
            known.setdefault(path, []).append((first, last, track))
    for other in others:
        for path, first, last in places_in_files(other):
            for start, end, track in known.get(path, ()):
                if start < last and first < end:
                    raise InputError(
                        f"{path}: in {track.split}/{track.name} and in {other.split}/{other.name}; "
                        "expected no sound in two splits, as scores would be too high"
                    )


def places_in_files(track: Track) -> Iterator[tuple[Path, float, float]]:
    """Yield each file of a track, with the first sample that is read and the one after the last."""
    spans = track.spans or ((0, math.inf),) * len(track.files)
    for path, (start, frames) in zip(track.files, spans, strict=True):
        yield path.resolve(), start, start + frames
