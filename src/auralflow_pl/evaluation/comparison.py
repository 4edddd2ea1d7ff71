"""Is one evaluation better than another? Paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from auralflow_pl.evaluation.results import ESTIMATE_NAME, TrackScores
from auralflow_pl.evaluation.tables import track_scores
from auralflow_pl.metrics.base import MetricInfo

FEWEST_TRACKS = 5  # pairs from which on an interval is given

SMALLEST_DB = 1e-4  # difference, in dB or without unit, that is not rounding

MOST_NAMED = 3  # of several names in a sentence


@dataclass(frozen=True)
class Interval:
    """Mean of paired differences, and where the true mean is with the given confidence."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A run against the first one, for one heading of one target."""

    run: str
    against: str
    target: str
    heading: MetricInfo
    tracks: list[str]
    before: list[float]  # of `against`, by track
    after: list[float]  # of `run`
    interval: Interval | None  # of after - before; None: too few tracks
    only_before: list[str]  # tracks in which `run` has no value
    only_after: list[str]  # tracks in which `against` has none

    @property
    def differences(self) -> list[float]:
        """By track; 0 where it is only rounding."""
        return track_changes(self.before, self.after)

    @property
    def wins(self) -> int:
        """Tracks in which `run` is better."""
        sign = 1 if self.heading.higher_is_better else -1
        return sum(sign * difference > 0 for difference in self.differences)

    @property
    def outcome(self) -> str:
        """`equal`, `better`, `worse`, `open` or `few`."""
        dropped = self.only_before or self.only_after
        if self.tracks and not dropped and not any(self.differences):
            return "equal"
        if self.interval is None:
            return "few"
        if self.interval.low <= 0 <= self.interval.high:
            return "open"
        return "better" if (self.interval.mean > 0) == self.heading.higher_is_better else "worse"

    def verdict(self, confidence: float) -> str:
        """One sentence, also about tracks that could not be compared."""
        parts = [self.finding(confidence)]
        for name, tracks in ((self.against, self.only_before), (self.run, self.only_after)):
            if tracks:
                noun = "track" if len(tracks) == 1 else "tracks"
                parts.append(f"{len(tracks)} {noun} only in {name}: {list_names(tracks)}")
        return "; ".join(parts)

    def finding(self, confidence: float) -> str:
        """What the tracks tell that both have."""
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
    """Differences, those that are only rounding as 0."""
    found = (b - a for a, b in zip(before, after, strict=True))
    return [change if abs(change) >= SMALLEST_DB else 0.0 for change in found]


def signed_number(value: float) -> str:
    """With two decimals, or four if two would show nothing."""
    return f"{value:+.4f}" if 0 < abs(value) < 0.01 else f"{value:+.2f}"


def list_names(names: Sequence[str]) -> str:
    """The first ones, and how many there are beside them."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def only_in_some(what: str, having: Mapping[str, Iterable[str]]) -> list[str]:
    """Sentences that name what some runs have and others have not.

    Args:
        what: it is, in the singular.
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

    The distribution of the mean in units of its standard error is that of resamples of the
    differences. So the interval is also right for few tracks, where plain percentiles are narrow.

    Args:
        differences: at least two.
        confidence: between 0 and 1.
        resamples: to draw.
        rng: draws them.
    """
    values = np.asarray(differences, dtype=np.float64)
    count, mean = len(values), float(values.mean())
    error = values.std(ddof=1) / np.sqrt(count)
    if error <= 1e-12 * max(1.0, abs(mean)):
        return Interval(mean, mean, mean)
    drawn = values[rng.integers(0, count, (resamples, count))]
    errors = drawn.std(axis=1, ddof=1) / np.sqrt(count)
    kept = errors > 1e-3 * error  # all draws alike say nothing of the error
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
    """Every run against the first one, over the tracks in which both have a value.

    Targets that only one of them has are left out, see `only_in_some`.

    Args:
        runs: scores by the name of the run.
        headings: that all of them have.
        confidence: of the intervals.
        resamples: of the bootstrap.
        seed: of its draws.
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
    """All targets of a run."""
    return list(dict.fromkeys(target.target for track in tracks for target in track.targets))


def defined_pairs(
    tracks: Iterable[TrackScores], target: str, heading: MetricInfo
) -> dict[str, float]:
    """Values of estimates by track, where they have one."""
    scores = track_scores(tracks, target)
    values = {track: one.values[heading.name][ESTIMATE_NAME] for track, one in scores.items()}
    return {track: value for track, value in values.items() if value is not None}
