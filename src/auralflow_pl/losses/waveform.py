"""Losses that compare waveforms.

The channels of a target count as one signal. `s` is a target, `e` its estimate, `|.|` the mean of
squares. All are in dB, with floors that keep loss and gradient finite where target or estimate is
silent, and where an estimate is perfect.
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
    """Level of a mean square, at least that of `floor`."""
    return 10 * torch.log10(power + floor)


class LevelLoss(TargetLoss):
    """A loss in dB with a floor.

    Args:
        floor_db: level in dBFS below which sound counts as none.
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

    `a = <e, s> / <s, s>` makes it blind to the level of the estimate; one scale serves all
    channels. Where the target is silent, SI-SDR is not defined; there the loss is the level of the
    estimate above the floor, so that leaking into silence costs. The floor of the projection `a s`
    lies 30 dB lower, so that a silent estimate of a target that is not silent costs 30 dB: silence
    never wins.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
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

    Unlike SI-SDR it wants the level right as well. A silent estimate costs exactly 0 dB.
    """

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
        target = separation.target[:, order].flatten(-2)
        noise = (separation.estimate.flatten(-2) - target).square().mean(-1)
        return ratio_to_db(noise, self.floor) - ratio_to_db(target.square().mean(-1), self.floor)


class L1SNRLoss(TargetLoss):
    """SNR with means of absolute values (Watcharasupat et al., 2023): waveform and spectrogram.

    `10 log10((mean |e - s| + floor) / (mean |s| + floor))`, summed over the waveform, the real and
    the imaginary part of the spectrogram. Single large errors weigh less than in SNR.

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
        """`(batch, targets)`."""
        target = separation.target[:, order]
        pairs = [(separation.estimate, target)]
        estimated = torch.view_as_real(separation.mask * separation.spectrogram.unsqueeze(1))
        wanted = torch.view_as_real(separation.stft(target))
        pairs += list(zip(estimated.unbind(-1), wanted.unbind(-1), strict=True))
        return sum(self.ratio(estimate.flatten(2), signal.flatten(2)) for estimate, signal in pairs)

    def ratio(self, estimate: Tensor, signal: Tensor) -> Tensor:
        """Level of the error above the signal in dB, over the last axis."""
        error = (estimate - signal).abs().mean(-1)
        return 10 * torch.log10((error + self.floor) / (signal.abs().mean(-1) + self.floor))


class LogWMSELoss(TargetLoss):
    """Negative log-WMSE of the `torch_log_wmse` package: the error as an ear hears its spectrum.

    The logarithm of the squared error after a filter for the sensitivity of hearing, relative to
    the mixture; see the package for the formula. Silent targets are nothing special to it.

    Args:
        sample_rate: of the audio in Hz.
        reduction: `mean` or `sum` over targets and items.
        best_perm: see `TargetLoss`.
    """

    def __init__(
        self, sample_rate: int = 44100, reduction: str = "mean", best_perm: bool = False
    ) -> None:
        super().__init__(reduction, best_perm)
        self.score = LogWMSE(sample_rate=sample_rate)

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """`(batch, targets)`."""
        estimate, target = separation.estimate, separation.target[:, order]
        score = self.score.per_stem(
            separation.mixture, estimate.transpose(1, 2), target.transpose(1, 2)
        )
        return -score.mean(1)
