"""Is one evaluation better than another? Paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from auralflow_pl.metrics.base import Heading
from auralflow_pl.report.tables import scores_of
from auralflow_pl.scoring import ESTIMATE, TrackScores

FEWEST = 5  # pairs from which on an interval is given


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
    heading: Heading
    tracks: list[str]
    before: list[float]  # of `against`, by track
    after: list[float]  # of `run`
    interval: Interval | None  # of after - before; None: too few tracks

    @property
    def differences(self) -> list[float]:
        """By track."""
        return [b - a for a, b in zip(self.before, self.after, strict=True)]

    @property
    def wins(self) -> int:
        """Tracks in which `run` is better."""
        sign = 1 if self.heading.higher_is_better else -1
        return sum(sign * difference > 0 for difference in self.differences)

    @property
    def outcome(self) -> str:
        """`equal`, `better`, `worse`, `open` or `few`."""
        if self.before == self.after and self.before:
            return "equal"
        if self.interval is None:
            return "few"
        if self.interval.low <= 0 <= self.interval.high:
            return "open"
        return "better" if (self.interval.mean > 0) == self.heading.higher_is_better else "worse"

    def verdict(self, confidence: float) -> str:
        """One sentence."""
        subject = f"{self.target}, {self.heading.label}: {self.run}"
        count = len(self.tracks)
        if self.outcome == "equal":
            return f"{subject} is equal to {self.against} in all {count} tracks"
        if self.interval is None:
            return f"{subject} and {self.against} share {count} tracks, too few to tell"
        unit = f" {self.heading.unit}" if self.heading.unit else ""
        where = (
            f"{self.interval.mean:+.2f}{unit} ({confidence:.0%} interval "
            f"{self.interval.low:+.2f} to {self.interval.high:+.2f}, better in {self.wins} of "
            f"{count} tracks)"
        )
        if self.outcome == "open":
            return f"{subject} against {self.against}: no difference shown, {where}"
        return f"{subject} is {self.outcome} than {self.against}: {where}"


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
    headings: Sequence[Heading],
    confidence: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
) -> list[Comparison]:
    """Every run against the first one, over the tracks in which both have a value.

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
        for target in dict.fromkeys(t.target for track in base for t in track.targets):
            old, new = scores_of(base, target), scores_of(tracks, target)
            for heading in headings:
                pairs = {
                    track: tuple(s[track].values[heading.name][ESTIMATE] for s in (old, new))
                    for track in old
                    if track in new
                }
                pairs = {track: pair for track, pair in pairs.items() if None not in pair}
                before, after = ([pair[n] for pair in pairs.values()] for n in (0, 1))
                change = [b - a for a, b in zip(before, after, strict=True)]
                rng = np.random.default_rng(seed)
                enough = len(pairs) >= FEWEST
                interval = (
                    bootstrap_interval(change, confidence, resamples, rng) if enough else None
                )
                if pairs:
                    found.append(
                        Comparison(
                            name, first, target, heading, list(pairs), before, after, interval
                        )
                    )
    return found
