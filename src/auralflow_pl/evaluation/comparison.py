"""Paired differences between evaluations, with bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from auralflow_pl.evaluation.results import ESTIMATE_NAME, TrackScores
from auralflow_pl.evaluation.tables import track_scores
from auralflow_pl.metrics.base import MetricInfo

FEWEST_TRACKS = 5  # pairs needed for an interval

SMALLEST_DB = 1e-4  # smaller differences, in dB or without unit, are rounding errors

MOST_NAMED = 3  # names listed in a sentence


@dataclass(frozen=True)
class Interval:
    """Mean of paired differences, and the confidence interval of the true mean."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of a run with the first run, for one heading of one target."""

    run: str
    against: str
    target: str
    heading: MetricInfo
    tracks: list[str]
    before: list[float]  # values of `against`, by track
    after: list[float]  # values of `run`, by track
    interval: Interval | None  # interval of after - before; None: too few tracks
    only_before: list[str]  # tracks in which `run` has no value
    only_after: list[str]  # tracks in which `against` has none

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
        if self.interval.low <= 0 <= self.interval.high:
            return "open"
        return "better" if (self.interval.mean > 0) == self.heading.higher_is_better else "worse"

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
            return f"{subject} is equal to {self.against} in all {count} tracks"
        if self.interval is None:
            return f"{subject} and {self.against} share {count} tracks, too few to tell"
        unit = f" {self.heading.unit}" if self.heading.unit else ""
        where = (
            f"{signed_number(self.interval.mean)}{unit} ({confidence:.0%} interval "
            f"{signed_number(self.interval.low)} to {signed_number(self.interval.high)}, "
            f"better in {self.wins} of {count} tracks)"
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


def bootstrap_interval(
    differences: Sequence[float], confidence: float, resamples: int, rng: np.random.Generator
) -> Interval:
    """Interval for the mean, from the studentised bootstrap (Efron and Tibshirani, 1993, ch. 12).

    The distribution of the mean in units of its standard error is estimated by resampling the
    differences. Unlike percentile intervals, the interval is not too narrow for few tracks.

    Args:
        differences: at least two values.
        confidence: level of the interval, between 0 and 1.
        resamples: number of resamples.
        rng: random generator of the resamples.
    """
    values = np.asarray(differences, dtype=np.float64)
    count, mean = len(values), float(values.mean())
    error = values.std(ddof=1) / np.sqrt(count)
    if error <= 1e-12 * max(1.0, abs(mean)):
        return Interval(mean, mean, mean)
    drawn = values[rng.integers(0, count, (resamples, count))]
    errors = drawn.std(axis=1, ddof=1) / np.sqrt(count)
    kept = errors > 1e-3 * error  # resamples of equal values have no usable error
    ratios = (drawn.mean(axis=1) - mean)[kept] / errors[kept]
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(mean - high * error), float(mean - low * error))


def compare_runs(
    runs: Mapping[str, Sequence[TrackScores]],
    headings: Sequence[MetricInfo],
    confidence: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare every run with the first run, over the tracks in which both have a value.

    Targets that only one of the two runs has are left out, see `only_in_some`.

    Args:
        runs: scores of tracks by run.
        headings: headings that all runs have.
        confidence: level of the intervals, between 0 and 1.
        resamples: number of bootstrap resamples.
        seed: seed of the resamples.
    """
    (first, base), *others = runs.items()
    found = []
    for name, tracks in others:
        for target in target_names(base):
            for heading in headings:
                old, new = (defined_pairs(run, target, heading) for run in (base, tracks))
                if target not in target_names(tracks) or not old | new:
                    continue
                shared = [track for track in old if track in new]
                before, after = ([values[track] for track in shared] for values in (old, new))
                interval = None
                if len(shared) >= FEWEST_TRACKS:
                    rng = np.random.default_rng(seed)
                    change = track_changes(before, after)
                    interval = bootstrap_interval(change, confidence, resamples, rng)
                missing = ([t for t in a if t not in b] for a, b in ((old, new), (new, old)))
                found.append(
                    Comparison(
                        name, first, target, heading, shared, before, after, interval, *missing
                    )
                )
    return found


def target_names(tracks: Iterable[TrackScores]) -> list[str]:
    """Names of all targets of a run."""
    return list(dict.fromkeys(target.target for track in tracks for target in track.targets))


def defined_pairs(
    tracks: Iterable[TrackScores], target: str, heading: MetricInfo
) -> dict[str, float]:
    """Values of the estimates by track, without undefined ones."""
    scores = track_scores(tracks, target)
    values = {track: one.values[heading.name][ESTIMATE_NAME] for track, one in scores.items()}
    return {track: value for track, value in values.items() if value is not None}
