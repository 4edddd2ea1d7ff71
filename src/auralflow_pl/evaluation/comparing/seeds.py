"""Scores of a group of runs that differ in their seed: by track, and their mean and spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from auralflow_pl.evaluation.comparing.intervals import (
    FEWEST_TRACKS,
    Interval,
    bootstrap_interval,
)
from auralflow_pl.evaluation.results import ESTIMATE_NAME, TrackScores
from auralflow_pl.evaluation.tables import track_scores
from auralflow_pl.metrics.base import MetricInfo

Group = Sequence[Sequence[TrackScores]]  # tracks of each run


@dataclass(frozen=True)
class SeedSummary:
    """Mean of a group over tracks and seeds, for one heading of one target."""

    target: str
    heading: MetricInfo
    tracks: int  # in which every run has a value
    seeds: int
    mean: float
    spread: float | None  # standard deviation of the runs' means; None: one run
    interval: Interval | None  # None: too few tracks


def target_names(tracks: Iterable[TrackScores]) -> list[str]:
    """Names of all targets of a run."""
    return list(dict.fromkeys(target.target for track in tracks for target in track.targets))


def shared_targets(runs: Group) -> list[str]:
    """Names of the targets that all runs have."""
    first, *others = map(target_names, runs)
    return [target for target in first if all(target in names for names in others)]


def defined_values(
    tracks: Iterable[TrackScores], target: str, heading: MetricInfo
) -> dict[str, float]:
    """Values of the estimates by track, without undefined ones."""
    scores = track_scores(tracks, target)
    values = {track: one.values[heading.name][ESTIMATE_NAME] for track, one in scores.items()}
    return {track: value for track, value in values.items() if value is not None}


def values_by_track(group: Group, target: str, heading: MetricInfo) -> dict[str, list[float]]:
    """Values of all runs by track, for the tracks in which every run has one."""
    first, *others = (defined_values(tracks, target, heading) for tracks in group)
    shared = (track for track in first if all(track in run for run in others))
    return {track: [first[track], *(run[track] for run in others)] for track in shared}


def summarize_seeds(
    group: Group,
    headings: Sequence[MetricInfo],
    confidence: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
) -> list[SeedSummary]:
    """Mean, spread and interval of a group, for every heading of every target that all runs have.

    Args:
        group: runs that were measured in the same way.
        headings: headings that all runs have.
        confidence: level of the intervals, between 0 and 1.
        resamples: number of bootstrap resamples.
        seed: seed of the resamples.
    """
    found = []
    for target in shared_targets(group):
        for heading in headings:
            table = np.array(list(values_by_track(group, target, heading).values()))
            if not len(table):
                continue
            means, interval = table.mean(axis=0), None
            if len(table) >= FEWEST_TRACKS:
                rng = np.random.default_rng(seed)
                by_track = table.mean(axis=1)
                interval = bootstrap_interval(by_track, confidence, resamples, rng, [means])
            spread = float(means.std(ddof=1)) if len(means) > 1 else None
            size = (len(table), len(means))
            found.append(SeedSummary(target, heading, *size, float(means.mean()), spread, interval))
    return found
