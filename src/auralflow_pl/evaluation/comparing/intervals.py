"""Confidence intervals of means over tracks and seeds, from a studentised bootstrap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from auralflow_pl.errors import InputError

FEWEST_TRACKS = 5  # tracks needed for an interval

FEWEST_RESAMPLES = 100


def check_bootstrap(confidence: float, resamples: int) -> None:
    """Raise InputError for a level or a number of resamples that make no interval."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}: expected more than 0 and less than 1")
    if resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples={resamples}: expected {FEWEST_RESAMPLES} or more")


@dataclass(frozen=True)
class Interval:
    """Mean of a sample, and the confidence interval of the true mean."""

    mean: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        """Whether the true mean may be 0."""
        return self.low <= 0 <= self.high


def bootstrap_interval(
    values: Sequence[float],
    confidence: float,
    resamples: int,
    rng: np.random.Generator,
    run_means: Sequence[Sequence[float]] = (),
) -> Interval:
    """Interval for the mean, from the studentised bootstrap (Efron and Tibshirani, 1993, ch. 12).

    The distribution of the mean in units of its standard error is estimated by resampling the
    values. Unlike percentile intervals, the interval is not too narrow for few tracks.

    Seeds are too few to be resampled. Their part is Student's interval, and the distances of both
    parts from the mean add up as squares (Zou and Donner, 2008), see docs/mathematics.md. With one
    run in every group, the interval is that over the tracks: it holds for these very runs.

    Args:
        values: at least two values, one of each track: means over the runs of a group, or
            differences between those of two groups.
        confidence: level of the interval, between 0 and 1.
        resamples: number of resamples.
        rng: random generator of the resamples.
        run_means: for each group, the means of its runs over the tracks.
    """
    sample = np.asarray(values, dtype=np.float64)
    mean, seeds = float(sample.mean()), seed_distance(run_means, confidence)
    low, high = track_distances(sample, confidence, resamples, rng)
    return Interval(mean, mean - math.hypot(low, seeds), mean + math.hypot(high, seeds))


def track_distances(
    sample: np.ndarray, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Distances of the ends of the interval over tracks from the mean, downwards and upwards."""
    count, mean = len(sample), sample.mean()
    error = sample.std(ddof=1) / np.sqrt(count)
    if error <= 1e-12 * max(1.0, abs(mean)):
        return 0.0, 0.0
    drawn = sample[rng.integers(0, count, (resamples, count))]
    errors = drawn.std(axis=1, ddof=1) / np.sqrt(count)
    kept = errors > 1e-3 * error  # resamples of equal values have no usable error
    ratios = (drawn.mean(axis=1) - mean)[kept] / errors[kept]
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(high * error), float(-low * error)


def seed_distance(run_means: Sequence[Sequence[float]], confidence: float) -> float:
    """Distance of the ends of Student's interval over seeds from the mean; 0 for single runs.

    The variance among runs is pooled over the groups, so a group of one run is taken to vary as
    the others.
    """
    groups = [np.asarray(group, dtype=np.float64) for group in run_means]
    freedom = sum(len(group) - 1 for group in groups)
    if not freedom:
        return 0.0
    variance = sum(((group - group.mean()) ** 2).sum() for group in groups) / freedom
    error = math.sqrt(variance * sum(1 / len(group) for group in groups))
    return float(stdtrit(freedom, (1 + confidence) / 2)) * error
