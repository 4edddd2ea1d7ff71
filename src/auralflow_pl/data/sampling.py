"""Probabilities with which the tracks of a training are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auralflow_pl.checks.values import is_number, one_of, within
from auralflow_pl.data.spans import MarkedSpans
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError, did_you_mean, shown

BALANCE_NAMES = ("length", "track", "loudness", "class")

SCHEDULE_EXAMPLE = "{0:{<set>:1,<other>:0},10:{<set>:1,<other>:1}}"


@dataclass(frozen=True)
class SamplingOptions:
    """Options for drawing the positions of chunks.

    Args:
        balance: `length`: tracks are drawn in proportion to their length; `track`: all tracks are
            equally likely; `loudness`: in proportion to their length times the RMS level of their
            targets; `class`: all classes are equally likely, and tracks within a class in
            proportion to their length. All are multiplied by the weights of the tracks.
        silence_db: RMS level in dB re full scale below which a target counts as silent; None:
            silence is not detected.
        keep_silent: probability with which a chunk with a silent target is kept; the others are
            drawn again.
        targets: stems that should be audible; empty: silence is not detected.
        weights: relative weights of the roots of tracks; empty: roots have no weights.
        balance_by: for `class`: `dataset`, or another label that every track has.
        schedule: weights of the roots by name, by time in epochs; linear in between, and constant
            before the first and after the last time.
        spans: spans of tracks that are left out or drawn less often; None: there are none.

    Raises:
        InputError: an unknown balance, a number out of range, or options that contradict.
    """

    balance: str = "length"
    silence_db: float | None = None
    keep_silent: float = 1.0
    targets: tuple[str, ...] = ()
    weights: Mapping[Path, float] = field(default_factory=dict)
    balance_by: str | None = None
    schedule: Mapping[Any, Mapping[str, float]] = field(default_factory=dict)
    spans: MarkedSpans | None = None

    def __post_init__(self) -> None:
        one_of("data.balance", self.balance, BALANCE_NAMES)
        within("data.keep_silent", self.keep_silent, 0, 1)
        if self.silence_db is not None:
            within("data.silence_db", self.silence_db, -200, 0, "dB")
        if (self.balance == "class") != (self.balance_by is not None):
            raise InputError(
                f"data.balance={self.balance}, data.balance_by={self.balance_by}: expected "
                "data.balance=class with a label, as in data.balance_by=singer, or neither"
            )
        if not isinstance(self.schedule, Mapping):
            raise InputError(f"data.schedule={shown(self.schedule)}: expected {SCHEDULE_EXAMPLE}")
        if self.schedule and self.weights:
            raise InputError("data.schedule: has the weights of all data sets; remove the others")

    def shares(self, tracks: Sequence[Track]) -> np.ndarray:
        """Relative probability of each track within its root, `(tracks,)`.

        Raises:
            InputError: a track has no label, or all tracks are silent.
        """
        sizes = [1 if self.balance == "track" else track.frames for track in tracks]
        share = np.array([s * t.weight for s, t in zip(sizes, tracks, strict=True)], np.float64)
        if self.balance == "loudness":
            share *= [target_level(track, self.targets) for track in tracks]
        if self.balance == "class":
            _, numbers = np.unique([class_of(t, str(self.balance_by)) for t in tracks], False, True)
            share /= np.bincount(numbers, share)[numbers]
        if not share.sum() > 0:
            raise InputError(f"data.balance={self.balance}: all tracks of the training are silent")
        return share


class ChanceTable:
    """Probability of each track of a training, by balance, weights and schedule.

    Args:
        tracks: tracks of the training set, at least one.
        options: options for drawing.

    Raises:
        InputError: the options do not fit the tracks.
    """

    def __init__(self, tracks: Sequence[Track], options: SamplingOptions) -> None:
        roots = sorted({track.root for track in tracks})
        self.roots = np.array([roots.index(track.root) for track in tracks])
        self.shares = options.shares(tracks)
        self.totals = np.bincount(self.roots, self.shares)
        known = [options.weights.get(root) for root in roots]
        self.times = np.zeros(1)
        self.weights = np.array([known if options.weights else self.totals], np.float64)
        if options.schedule:
            self.times, self.weights = read_schedule(options.schedule, [str(r) for r in roots])

    @property
    def is_constant(self) -> bool:
        """Whether the probabilities are the same at all times."""
        return len(self.times) == 1

    def at(self, epoch: float) -> np.ndarray:
        """Probabilities `(tracks,)` at a time in epochs."""
        weights = [np.interp(epoch, self.times, column) for column in self.weights.T]
        heard = self.totals > 0
        gains = np.divide(weights, self.totals, out=np.zeros(len(heard)), where=heard)
        chances = self.shares * gains[self.roots]
        return chances / chances.sum()


def read_schedule(
    schedule: Mapping[Any, Mapping[str, float]], names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Times in epochs `(times,)` and weights of the roots `(times, roots)`.

    Args:
        schedule: weights by name, by time.
        names: names of the roots.

    Raises:
        InputError: a time or weight is no number from 0 on, or a root is missing or unknown.
    """
    rows = {}
    for time, weights in schedule.items():
        where = f"data.schedule.{shown(time)}"
        number = time_of(time)
        if not 0 <= number < math.inf:
            raise InputError(f"{where}: expected a time in epochs, as in {SCHEDULE_EXAMPLE}")
        if not isinstance(weights, Mapping) or not weights:
            raise InputError(f"{where}={shown(weights)}: expected weights, {SCHEDULE_EXAMPLE}")
        for name, weight in weights.items():
            if name not in names:
                raise InputError(f"{where}.{shown(name)}: {did_you_mean(str(name), names)}")
            if not is_number(weight) or weight < 0:
                raise InputError(f"{where}.{name}={shown(weight)}: expected a weight, at least 0")
        if missing := [name for name in names if name not in weights]:
            raise InputError(f"{where}: no weight for {', '.join(missing)}; expected all data sets")
        if not any(weights.values()):
            raise InputError(f"{where}: all weights are 0; expected one above 0")
        rows[number] = [weights[name] for name in names]
    times = sorted(rows)
    return np.array(times), np.array([rows[time] for time in times], np.float64)


def time_of(given: Any) -> float:
    """Time of a schedule, a number or the text of one, as in JSON; NaN: it is none."""
    try:
        return math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        return math.nan


def labels_of(track: Track) -> dict[str, str]:
    """Classes of a track by name of the label; `dataset` is its root, unless it has this label."""
    return {"dataset": str(track.root)} | dict(track.labels)


def class_of(track: Track, name: str) -> str:
    """Class of a track.

    Raises:
        InputError: it has no such label.
    """
    labels = labels_of(track)
    if name not in labels:
        raise InputError(
            f"data.balance_by={name}: {track.split}/{track.name} has none, "
            f"{did_you_mean(name, labels)}; labels are columns of data=manifest"
        )
    return labels[name]


def target_level(track: Track, targets: Sequence[str]) -> float:
    """RMS level of the targets in a track, or of all stems if it has none of them."""
    heard = [stem for stem in track.stems if stem not in track.absent]
    wanted = [stem for stem in heard if stem in targets] or heard
    return float(np.sqrt(sum(track.level(stem, 0, track.frames) for stem in wanted)))
