"""Scores of the estimates of one track, with those of mixture and oracles as references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from auralflow_pl.checks.values import one_of
from auralflow_pl.data.targets import sum_stems
from auralflow_pl.data.tracks import Track, TrackSound
from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.results import ESTIMATE_NAME, REFERENCE_NAMES, ScoreValue, TargetScores
from auralflow_pl.metrics.base import MetricInput, TargetMetric
from auralflow_pl.metrics.oracle import ideal_binary_mask, ideal_ratio_mask, mixture_phase
from auralflow_pl.metrics.scale_invariant import is_silent
from auralflow_pl.signal.stft import STFT


class EstimateSource(Protocol):
    """A source of estimates: a checkpoint, or a folder."""

    target_stems: Mapping[str, Sequence[str]]  # stems that each target is the sum of
    stft: STFT  # STFT of the oracles

    def __call__(self, track: Track, mixture: Tensor) -> Tensor:
        """Estimates `(targets, channels, time)` for a track and its mixture `(channels, time)`."""


class TrackEstimates(NamedTuple):
    """Mixture, true targets and estimates of a track."""

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]  # numbers of the targets measured together
    estimate: Tensor  # (targets, channels, time)
    target: Tensor  # the same shape
    mixture: Tensor  # (channels, time)
    sample_rate: int  # Hz
    total: Tensor  # (channels, time), the true targets and the true rest


@torch.inference_mode()
def separate_track(
    estimates: EstimateSource,
    stems: Sequence[str],
    track: Track,
    rest: bool = False,
    published: bool = True,
) -> TrackEstimates:
    """Read a track and its estimates.

    Args:
        estimates: source of the estimates.
        stems: stems of the data set.
        track: track of the data set.
        rest: also measure the mixture minus all targets as a target, called `accompaniment` if
            the only target is `vocals`, else `rest`. It is left out if all stems are targets and
            it is silent.
        published: use the samples that published scores were computed with, see
            `Track.read_published`.

    Raises:
        InputError: `rest` with targets that share stems, or the track cannot be read.
    """
    sound = track.read_published() if published else TrackSound.of(*track.read())
    sound = TrackSound(*(part.to(estimates.stft.window.device) for part in sound))
    estimate, sums = estimates(track, sound.mixture), estimates.target_stems
    return pair_targets(estimate, sound, stems, sums, track.sample_rate, rest)


def pair_targets(
    estimate: Tensor,
    sound: TrackSound,
    stems: Sequence[str],
    sums: Mapping[str, Sequence[str]],
    sample_rate: int,
    rest: bool = False,
) -> TrackEstimates:
    """Estimates of a track with their true targets.

    Args:
        estimate: `(targets, channels, time)`.
        sound: mixture and stems.
        stems: names of the stems.
        sums: names of the targets, and the stems that each is the sum of.
        sample_rate: in Hz.
        rest: see `separate_track`.

    Raises:
        InputError: `rest` with targets that share stems.
    """
    mixture, sources, total = sound
    target = sum_stems(sources, stems, sums)
    names, numbers = tuple(sums), tuple(range(len(sums)))
    members = list(chain.from_iterable(sums.values()))
    apart = len(set(members)) == len(members)
    if rest and not apart:
        raise InputError(f"rest=true: targets {', '.join(names)} share stems; pass rest=false")
    nothing = set(members) == set(stems) and is_silent(residual_of(total, target).flatten())
    if rest and not nothing:
        names = (*names, "accompaniment" if names == ("vocals",) else "rest")
        numbers = (*numbers, len(numbers))
        estimate = torch.cat([estimate, residual_of(mixture, estimate)])
        target = torch.cat([target, residual_of(total, target)])
    groups = (numbers,) if apart else tuple((number,) for number in numbers)
    return TrackEstimates(names, groups, estimate, target, mixture, sample_rate, total)


def residual_of(mixture: Tensor, parts: Tensor) -> Tensor:
    """Mixture minus all parts `(targets, channels, time)`, as `(1, channels, time)`."""
    return (mixture - parts.sum(0)).unsqueeze(0)


@torch.inference_mode()
def score_track(
    track: TrackEstimates,
    stft: STFT,
    metrics: Sequence[TargetMetric],
    references: Sequence[str] = REFERENCE_NAMES,
) -> list[TargetScores]:
    """Measure the estimates of a track, and the references.

    Targets are measured together if no two of them share a stem, else one by one. Metrics that
    compare targets with each other get the mixture minus all targets as another target.

    Args:
        track: the track and its estimates.
        stft: STFT of the oracles.
        metrics: metrics to compute.
        references: some of `REFERENCE_NAMES`: the unprocessed mixture, ideal binary mask, ideal
            ratio mask, and the magnitude of the target with the phase of the mixture.

    Returns:
        scores in the order of the targets.
    """
    scores = []
    for numbers in track.groups:
        target, estimate = track.target[list(numbers)], track.estimate[list(numbers)]
        remainder = residual_of(track.total, target)
        complete = bool(is_silent(remainder.flatten()))
        candidates = {ESTIMATE_NAME: estimate}
        candidates |= {
            name: reference_estimates(name, stft, target, track.mixture) for name in references
        }
        results = {}
        for name, candidate in candidates.items():
            pair = (candidate, target)
            if not complete:
                other = (
                    candidate[:1] if name == "mixture" else residual_of(track.mixture, candidate)
                )
                pair = (torch.cat([candidate, other]), torch.cat([target, remainder]))
            results[name] = measure_scores(
                MetricInput(*pair, track.mixture, track.sample_rate), metrics
            )
        scores += [gather_scores(track.names[n], row, results) for row, n in enumerate(numbers)]
    return scores


def reference_estimates(name: str, stft: STFT, target: Tensor, mixture: Tensor) -> Tensor:
    """Estimates by one of `REFERENCE_NAMES`, of the shape of `target`.

    Args:
        name: name of the reference.
        stft: STFT of the oracles.
        target: `(targets, channels, time)`.
        mixture: `(channels, time)`.
    """
    if name == "mixture":
        return mixture.expand_as(target)
    length, whole = target.shape[-1], stft(mixture)
    parts = []
    for one in target:
        spectrum, rest = stft(one), stft(mixture - one)
        if name == "phase":
            parts.append(stft.inverse(mixture_phase(spectrum, whole), length))
        else:
            mask = ideal_binary_mask if name == "ibm" else ideal_ratio_mask
            parts.append(stft.inverse(mask(spectrum, rest) * whole, length))
    return torch.stack(parts)


def check_references(references: Sequence[str]) -> None:
    """Raise InputError for a name that is not in `REFERENCE_NAMES`."""
    for name in references:
        one_of("references", name, REFERENCE_NAMES)


class MetricColumn(NamedTuple):
    """Values of one heading for all targets."""

    name: str
    values: list[ScoreValue]  # by target
    frames: list[list[ScoreValue]]  # by target and window


def measure_scores(sounds: MetricInput, metrics: Sequence[TargetMetric]) -> list[MetricColumn]:
    """Compute all headings of all metrics."""
    return [
        MetricColumn(name, *(score_numbers(part) for part in measured))
        for metric in metrics
        for name, measured in metric.measure(sounds).items()
    ]


def score_numbers(values: Tensor) -> list[Any]:
    """Nested lists of the values of a tensor, with None for values that are not finite."""
    if values.ndim > 1:
        return [score_numbers(part) for part in values]
    return [value if math.isfinite(value) else None for value in values.double().tolist()]


def gather_scores(target: str, row: int, results: Mapping[str, list[MetricColumn]]) -> TargetScores:
    """Scores of the target in one row of the results of all candidates."""
    values: dict[str, dict[str, ScoreValue]] = {}
    for candidate, columns in results.items():
        for column in columns:
            values.setdefault(column.name, {})[candidate] = column.values[row]
    return TargetScores(target, values, {c.name: c.frames[row] for c in results[ESTIMATE_NAME]})
