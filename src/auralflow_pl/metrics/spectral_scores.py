"""Metrics on spectrograms, as classes of torchmetrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from auralflow_pl.errors import InputError
from auralflow_pl.metrics.base import MetricInfo, MetricInput, TargetMetric
from auralflow_pl.metrics.scale_invariant import is_silent
from auralflow_pl.metrics.spectral import bleedless_and_fullness, l1_freq, mr_stft
from auralflow_pl.metrics.spectrograms import Transform


def unless_silent(values: Tensor, target: Tensor) -> Tensor:
    """Values `(...)`, NaN where the target `(..., channels, time)` is silent."""
    return torch.where(is_silent(target.float().flatten(-2)), torch.nan, values)


class Bleedless(TargetMetric):
    """How little is louder than in the target; see `bleedless_and_fullness`."""

    column = 0
    headings = (
        MetricInfo(
            "bleedless",
            "bleedless",
            "",
            "100 / (1 + d), d: mean level difference in dB over the mel bins that are louder than "
            "in the target (arredou, 2024)",
            bounded=False,
        ),
    )

    def values(self, sounds: MetricInput) -> Tensor:
        """Scores from 0 to 100, `(..., targets)`; NaN for silent targets."""
        scores = bleedless_and_fullness(sounds.estimate, sounds.target, sounds.sample_rate)
        return unless_silent(scores[..., self.column], sounds.target)


class Fullness(Bleedless):
    """How little is softer than in the target; see `bleedless_and_fullness`."""

    column = 1
    headings = (
        MetricInfo(
            "fullness",
            "fullness",
            "",
            "100 / (1 + d), d: mean level difference in dB over the mel bins that are softer than "
            "in the target (arredou, 2024)",
            bounded=False,
        ),
    )


class L1Freq(TargetMetric):
    """L1 score of magnitudes, also for silent targets; see `l1_freq`."""

    headings = (
        MetricInfo(
            "l1_freq",
            "L1 freq",
            "",
            "100 / (1 + 10 d), d: mean absolute difference of magnitudes; depends on the level",
        ),
    )

    def values(self, sounds: MetricInput) -> Tensor:
        """Scores from 0 to 100, `(..., targets)`."""
        return l1_freq(sounds.estimate, sounds.target)


class MultiResolutionSTFT(TargetMetric):
    """Multi-resolution STFT loss; see `mr_stft`.

    Args:
        window_seconds: length of the windows in `measure`, in seconds.
        n_ffts: points of the transform for each resolution.
        hop_lengths: samples from frame to frame for each resolution.
        win_lengths: length of the Hann window for each resolution, at most its `n_fft`.

    Raises:
        InputError: lists of different lengths, or impossible sizes.
    """

    higher_is_better = False
    headings = (
        MetricInfo(
            "mr_stft",
            "MR-STFT",
            "",
            "multi-resolution STFT loss: spectral convergence and log distance of magnitudes "
            "(Yamamoto et al., 2020)",
            higher_is_better=False,
        ),
    )

    def __init__(
        self,
        window_seconds: float = 1.0,
        n_ffts: Sequence[int] = (1024, 2048, 512),
        hop_lengths: Sequence[int] = (120, 240, 50),
        win_lengths: Sequence[int] = (600, 1200, 240),
    ) -> None:
        super().__init__(window_seconds)
        lists = [list(x) for x in (n_ffts, hop_lengths, win_lengths)]
        given = "metrics.mr_stft: n_ffts={}, hop_lengths={}, win_lengths={}".format(*lists)
        if not len(lists[0]) == len(lists[1]) == len(lists[2]) > 0:
            raise InputError(f"{given}: expected lists of one length")
        if not all(isinstance(x, int) and x > 0 for sizes in lists for x in sizes):
            raise InputError(f"{given}: expected whole numbers of at least 1")
        self.transforms = [Transform(*sizes) for sizes in zip(*lists, strict=True)]
        if any(x.win_length > x.n_fft for x in self.transforms):
            raise InputError(f"{given}: expected windows of at most n_fft samples")

    def values(self, sounds: MetricInput) -> Tensor:
        """Losses, `(..., targets)`; NaN for silent targets."""
        losses = mr_stft(sounds.estimate, sounds.target, self.transforms)
        return unless_silent(losses, sounds.target)
