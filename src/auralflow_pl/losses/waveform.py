"""Losses on waveforms, in dB.

In the formulas `s` is a target, `e` its estimate and `|.|` the mean of squares; the channels of a
target count as one signal. Floors keep loss and gradient finite for silent targets and estimates,
and for perfect estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_log_wmse import LogWMSE

from auralflow_pl.checks.values import positive
from auralflow_pl.losses.base import TargetLoss

if TYPE_CHECKING:
    from auralflow_pl.losses.base import Separation


def ratio_to_db(power: Tensor, floor: float) -> Tensor:
    """Level in dB of a mean square plus `floor`."""
    return 10 * torch.log10(power + floor)


class LevelLoss(TargetLoss):
    """Base of losses in dB with a floor.

    Args:
        floor_db: level in dBFS below which a signal counts as silent.
        reduction: `mean` or `sum` over targets and items.
        best_perm: see `TargetLoss`.
    """

    def __init__(
        self, floor_db: float = -80.0, reduction: str = "mean", best_perm: bool = False
    ) -> None:
        super().__init__(reduction, best_perm)
        self.floor = 10 ** (floor_db / 10)


class SISDRLoss(LevelLoss):
    """Negative scale-invariant SDR (Le Roux et al., 2019): `-10 log10(|a s| / |e - a s|)`.

    The scale `a = <e, s> / <s, s>` makes the loss independent of the level of the estimate; all
    channels share one scale. SI-SDR is undefined for a silent target. There the loss is the level
    of the estimate above the floor, which penalises leakage. The floor of the projection `a s` is
    30 dB lower, so a silent estimate of an audible target costs 30 dB.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Negative SI-SDR in dB, `(batch, targets)`."""
        estimate = separation.estimate.flatten(-2)
        target = separation.target[:, order].flatten(-2)
        energy = target.square().mean(-1)
        scale = (estimate * target).mean(-1) / energy.clamp(min=self.floor)
        noise = (estimate - scale.unsqueeze(-1) * target).square().mean(-1)
        return ratio_to_db(noise, self.floor) - ratio_to_db(
            scale.square() * energy, self.floor / 1000
        )


class SNRLoss(LevelLoss):
    """Negative signal-to-noise ratio, also called negative SDR: `-10 log10(|s| / |e - s|)`.

    Unlike SI-SDR it depends on the level of the estimate. A silent estimate costs exactly 0 dB.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Negative SNR in dB, `(batch, targets)`."""
        target = separation.target[:, order].flatten(-2)
        noise = (separation.estimate.flatten(-2) - target).square().mean(-1)
        return ratio_to_db(noise, self.floor) - ratio_to_db(target.square().mean(-1), self.floor)


class L1SNRLoss(TargetLoss):
    """Negative SNR with means of absolute values, of waveform and spectrogram.

    `10 log10((mean |e - s| + floor) / (mean |s| + floor))` (Watcharasupat et al., 2023), summed
    over the waveform and the real and imaginary part of the spectrogram. Compared with SNR, single
    large errors weigh less.

    Args:
        floor: amplitude that is added to both means.
        reduction: `mean` or `sum` over targets and items.
        best_perm: see `TargetLoss`.

    Raises:
        InputError: a floor that is not more than 0.
    """

    def __init__(
        self, floor: float = 1e-3, reduction: str = "mean", best_perm: bool = False
    ) -> None:
        super().__init__(reduction, best_perm)
        self.floor = positive("loss.l1_snr.floor", floor)

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Sum of the three ratios in dB, `(batch, targets)`."""
        target = separation.target[:, order]
        pairs = [(separation.estimate, target)]
        estimated = torch.view_as_real(separation.mask * separation.spectrogram.unsqueeze(1))
        wanted = torch.view_as_real(separation.stft(target))
        pairs += list(zip(estimated.unbind(-1), wanted.unbind(-1), strict=True))
        return sum(self.ratio(estimate.flatten(2), signal.flatten(2)) for estimate, signal in pairs)

    def ratio(self, estimate: Tensor, signal: Tensor) -> Tensor:
        """Level of the error relative to the signal in dB, over the last axis."""
        error = (estimate - signal).abs().mean(-1)
        return 10 * torch.log10((error + self.floor) / (signal.abs().mean(-1) + self.floor))


class LogWMSELoss(TargetLoss):
    """Negative log-WMSE of the `torch_log_wmse` package: log of a frequency-weighted squared error.

    The error is filtered by the frequency sensitivity of human hearing and scaled relative to the
    mixture; the package gives the formula. It is also defined for silent targets.

    Args:
        sample_rate: sample rate of the audio in Hz.
        reduction: `mean` or `sum` over targets and items.
        best_perm: see `TargetLoss`.
    """

    def __init__(
        self, sample_rate: int = 44100, reduction: str = "mean", best_perm: bool = False
    ) -> None:
        super().__init__(reduction, best_perm)
        self.score = LogWMSE(sample_rate=sample_rate)

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Negative log-WMSE, `(batch, targets)`."""
        estimate, target = separation.estimate, separation.target[:, order]
        score = self.score.per_stem(
            separation.mixture, estimate.transpose(1, 2), target.transpose(1, 2)
        )
        return -score.mean(1)
