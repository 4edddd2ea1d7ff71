"""Base of all metrics: values per target and window, and their mean over updates."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from auralflow_pl.checks.values import positive
from auralflow_pl.metrics.scale_invariant import is_silent


class MetricInput(NamedTuple):
    """The signals that a metric compares."""

    estimate: Tensor  # (..., targets, channels, time)
    target: Tensor  # the same shape
    mixture: Tensor  # (..., channels, time)
    sample_rate: int  # Hz

    def windows(self, frames: int) -> MetricInput:
        """Split into consecutive windows of `frames` samples, as a new first axis.

        An incomplete window at the end is left out. A signal shorter than `frames` is one window.
        """
        frames = min(frames, self.target.shape[-1])
        estimate, target, mixture = (
            x.unfold(-1, frames, frames).movedim(-2, 0)
            for x in (self.estimate, self.target, self.mixture)
        )
        return MetricInput(estimate, target, mixture, self.sample_rate)


def seconds_to_samples(seconds: float, sample_rate: int) -> int:
    """Number of samples in `seconds`, at least 1."""
    return max(1, round(seconds * sample_rate))


class MetricInfo(NamedTuple):
    """Name, label, unit and definition of a column in a table of results."""

    name: str  # key of the column
    label: str
    unit: str
    definition: str
    higher_is_better: bool = True
    bounded: bool = True  # whether mixture and ideal mask are meaningful lower and upper bounds


class Measurement(NamedTuple):
    """Values of one metric column; NaN where undefined."""

    value: Tensor  # (targets,)
    frames: Tensor  # (targets, windows)


class TargetMetric(Metric):
    """Mean over updates and targets of all defined values; `undefined` counts the others.

    Args:
        window_seconds: length of the windows in `measure`, in seconds.

    Raises:
        InputError: a length that is not a positive number.
    """

    full_state_update = False  # an update needs nothing of the ones before
    headings: tuple[MetricInfo, ...]  # columns; the first one is the value of the metric
    total: Tensor
    count: Tensor
    undefined: Tensor

    def __init__(self, window_seconds: float = 1.0) -> None:
        super().__init__()
        positive("window_seconds", window_seconds, "seconds")
        self.window_seconds = self.hop_seconds = window_seconds
        for name in ("total", "count", "undefined"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    @abstractmethod
    def values(self, sounds: MetricInput) -> Tensor:
        """Values `(..., targets)` of whole signals, NaN where undefined."""

    def measure(self, sounds: MetricInput) -> dict[str, Measurement]:
        """Values of whole signals without leading axes and of their windows, by column name."""
        window = seconds_to_samples(self.window_seconds, sounds.sample_rate)
        parts = self.values(sounds.windows(window)).transpose(0, 1)
        return {self.headings[0].name: Measurement(self.values(sounds), parts)}

    def update(self, estimate: Tensor, target: Tensor, mixture: Tensor, sample_rate: int) -> None:
        """Add the values of signals; shapes as in `MetricInput`."""
        values = self.values(MetricInput(estimate, target, mixture, sample_rate)).double()
        defined = values.isfinite()
        self.total += values[defined].sum()
        self.count += defined.sum()
        self.undefined += (~defined).sum()

    def compute(self) -> Tensor:
        """Mean of the defined values; NaN if there are none."""
        return self.total / self.count


class RatioMetric(TargetMetric):
    """Base of ratios over all channels and samples of a signal; undefined for a silent target."""

    @abstractmethod
    def ratio(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Ratio in dB of signals `(..., time)`, `(...)`."""

    def values(self, sounds: MetricInput) -> Tensor:
        """Ratios in dB, `(..., targets)`; NaN for silent targets."""
        estimate, target = sounds.estimate.flatten(-2), sounds.target.flatten(-2)
        silent = is_silent(target)
        return torch.where(silent, torch.nan, self.ratio(estimate, target))
