"""Paired differences between evaluations, with bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from auralflow_pl.evaluation.comparing.intervals import (
    FEWEST_TRACKS,
    Interval,
    bootstrap_interval,
)
from auralflow_pl.evaluation.comparing.seeds import Group, shared_targets, values_by_track
from auralflow_pl.metrics.base import MetricInfo

SMALLEST_DB = 1e-4  # smaller differences, in dB or without unit, are rounding errors

MOST_NAMED = 3  # names listed in a sentence


@dataclass(frozen=True)
class Comparison:
    """Comparison of a run or group of runs with the first, for one heading of one target."""

    run: str
    against: str
    target: str
    heading: MetricInfo
    tracks: list[str]
    before: list[float]  # values of `against` by track, means over its seeds
    after: list[float]  # values of `run` by track, means over its seeds
    interval: Interval | None  # interval of after - before; None: too few tracks
    only_before: list[str]  # tracks in which `run` has no value
    only_after: list[str]  # tracks in which `against` has none
    seeds: tuple[int, int] = (1, 1)  # runs of `against` and of `run`

    @property
    def differences(self) -> list[float]:
        """Differences `after - before` by track; 0 for rounding errors."""
        return track_changes(self.before, self.after)

    @property
    def wins(self) -> int:
        """Number of tracks in which `run` is better."""
        sign = 1 if self.heading.higher_is_better else -1
        return sum(sign * difference > 0 for difference in self.differences)

    @property
    def outcome(self) -> str:
        """Result of the comparison: `equal`, `better`, `worse`, `open` or `few` (tracks)."""
        dropped = self.only_before or self.only_after
        if self.tracks and not dropped and not any(self.differences):
            return "equal"
        if self.interval is None:
            return "few"
        if self.interval.holds_zero:
            return "open"
        return "better" if (self.interval.mean > 0) == self.heading.higher_is_better else "worse"

    @property
    def in_seeds(self) -> str:
        """How many seeds each side has, to be put behind a number of tracks; empty: one each."""
        before, after = self.seeds
        if before == after == 1:
            return ""
        noun = "seed" if after == 1 else "seeds"
        return f", {after} {noun} against {before}"

    def verdict(self, confidence: float) -> str:
        """Sentence with the finding and the tracks that could not be compared."""
        parts = [self.finding(confidence)]
        for name, tracks in ((self.against, self.only_before), (self.run, self.only_after)):
            if tracks:
                noun = "track" if len(tracks) == 1 else "tracks"
                parts.append(f"{len(tracks)} {noun} only in {name}: {list_names(tracks)}")
        return "; ".join(parts)

    def finding(self, confidence: float) -> str:
        """Sentence with the result for the tracks that both runs have."""
        subject = f"{self.target}, {self.heading.label}: {self.run}"
        count = len(self.tracks)
        if self.outcome == "equal":
            return f"{subject} is equal to {self.against} in all {count} tracks{self.in_seeds}"
        if self.interval is None:
            return (
                f"{subject} and {self.against} share {count} tracks{self.in_seeds}, too few to tell"
            )
        unit = f" {self.heading.unit}" if self.heading.unit else ""
        where = (
            f"{signed_number(self.interval.mean)}{unit} ({confidence:.0%} interval "
            f"{signed_number(self.interval.low)} to {signed_number(self.interval.high)}, "
            f"better in {self.wins} of {count} tracks{self.in_seeds})"
        )
        if self.outcome == "open":
            return f"{subject} against {self.against}: no difference shown, {where}"
        return f"{subject} is {self.outcome} than {self.against}: {where}"


def track_changes(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """Differences `after - before`; those below `SMALLEST_DB` become 0."""
    found = (b - a for a, b in zip(before, after, strict=True))
    return [change if abs(change) >= SMALLEST_DB else 0.0 for change in found]


def signed_number(value: float) -> str:
    """Format a number with its sign and two decimals, or four if it is below 0.01."""
    return f"{value:+.4f}" if 0 < abs(value) < 0.01 else f"{value:+.2f}"


def list_names(names: Sequence[str]) -> str:
    """Format the first `MOST_NAMED` names and the number of further ones."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def only_in_some(what: str, having: Mapping[str, Iterable[str]]) -> list[str]:
    """Sentences on names that only some of the runs have.

    Args:
        what: kind of the names in the singular, such as `metric`.
        having: names by run.
    """
    sets = {run: set(names) for run, names in having.items()}
    sentences = []
    for name in dict.fromkeys(chain.from_iterable(having.values())):
        runs = [run for run, names in sets.items() if name in names]
        if len(runs) < len(sets):
            verb = "has" if len(runs) == 1 else "have"
            sentences.append(f"only {' and '.join(runs)} {verb} the {what} {name}")
    return sentences


def compare_groups(
    groups: Mapping[str, Group],
    headings: Sequence[MetricInfo],
    confidence: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare every group of runs with the first, over the tracks in which all runs have a value.

    Tracks are paired, seeds are not. Targets that only one of the two groups has are left out, see
    `only_in_some`.

    Args:
        groups: runs by the name of their group; a single run is a group of one.
        headings: headings that all runs have.
        confidence: level of the intervals, between 0 and 1.
        resamples: number of bootstrap resamples.
        seed: seed of the resamples.
    """
    (first, base), *others = groups.items()
    found = []
    for name, runs in others:
        for target in shared_targets([*base, *runs]):
            for heading in headings:
                old, new = (values_by_track(group, target, heading) for group in (base, runs))
                if not old | new:
                    continue
                shared = [track for track in old if track in new]
                tables = [np.array([v[track] for track in shared]) for v in (old, new)]
                before, after = (table.mean(axis=1).tolist() if shared else [] for table in tables)
                interval = None
                if len(shared) >= FEWEST_TRACKS:
                    rng = np.random.default_rng(seed)
                    change = track_changes(before, after)
                    means = [table.mean(axis=0) for table in tables]
                    interval = bootstrap_interval(change, confidence, resamples, rng, means)
                missing = ([t for t in a if t not in b] for a, b in ((old, new), (new, old)))
                found.append(
                    Comparison(
                        name,
                        first,
                        target,
                        heading,
                        shared,
                        before,
                        after,
                        interval,
                        *missing,
                        (len(base), len(runs)),
                    )
                )
    return found
