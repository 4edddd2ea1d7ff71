"""Multi-resolution STFT loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from auralflow_pl.checks.values import positive
from auralflow_pl.errors import InputError
from auralflow_pl.losses.base import TargetLoss, below_bandwidth
from auralflow_pl.signal.stft import STFT

if TYPE_CHECKING:
    from auralflow_pl.losses.base import Separation

SPECTROGRAM_AXES = (-3, -2, -1)  # channels, freq, frames


class MultiResolutionSTFTLoss(TargetLoss):
    """Distance of magnitudes at several STFT resolutions (Yamamoto et al., 2020).

    At each resolution, with magnitudes `E` and `S` of estimate and target: spectral convergence
    `norm(E - S) / norm(S)` plus the mean of `|log E - log S|`. The loss is the mean over
    resolutions and ignores phase. Magnitudes are `sqrt(|.|^2 + floor^2)`, so the logarithm of
    silence is finite.

    Args:
        n_ffts: points of the transform for each resolution.
        hop_lengths: samples from frame to frame for each resolution.
        win_lengths: length of the Hann window for each resolution, at most its `n_fft`.
        floor: lower limit of magnitudes.
        reduction: `mean` or `sum` over targets and items.
        best_perm: see `TargetLoss`.

    Raises:
        InputError: lists of different lengths, impossible sizes, or a floor that is not more than
            0.
    """

    def __init__(
        self,
        n_ffts: Sequence[int] = (1024, 2048, 512),
        hop_lengths: Sequence[int] = (120, 240, 50),
        win_lengths: Sequence[int] = (600, 1200, 240),
        floor: float = 1e-4,
        reduction: str = "mean",
        best_perm: bool = False,
    ) -> None:
        super().__init__(reduction, best_perm)
        if not len(n_ffts) == len(hop_lengths) == len(win_lengths) > 0:
            raise InputError(
                f"loss.mr_stft: n_ffts={list(n_ffts)}, hop_lengths={list(hop_lengths)}, "
                f"win_lengths={list(win_lengths)}: expected lists of one length"
            )
        sizes = zip(n_ffts, win_lengths, hop_lengths, strict=True)
        self.stfts = nn.ModuleList(STFT(*size) for size in sizes)
        self.floor = positive("loss.mr_stft.floor", floor)

    def error(self, separation: Separation, order: Sequence[int]) -> Tensor:
        """Mean error over the resolutions, `(batch, targets)`."""
        estimate, target = separation.estimate, separation.target[:, order]
        errors = [
            self.compare(
                self.magnitude(stft(estimate)),
                self.magnitude(stft(target)),
                below_bandwidth(separation, stft.n_fft // 2 + 1),
            )
            for stft in self.stfts
        ]
        return torch.stack(errors).mean(0)

    def magnitude(self, spectrogram: Tensor) -> Tensor:
        """`sqrt(|.|^2 + floor^2)` of a complex spectrogram; its gradient is finite everywhere."""
        return torch.sqrt(torch.view_as_real(spectrogram).square().sum(-1) + self.floor**2)

    def compare(self, estimate: Tensor, target: Tensor, counted: Tensor | float) -> Tensor:
        """Spectral convergence plus log distance of magnitudes `(..., channels, freq, frames)`.

        Bins in which `counted` is 0 are left out.
        """
        difference = (counted * (estimate - target)).square().sum(SPECTROGRAM_AXES)
        level = (counted * target).square().sum(SPECTROGRAM_AXES)
        convergence = torch.sqrt(difference / level + 1e-12)
        distance = (counted * (estimate.log() - target.log())).abs().mean(SPECTROGRAM_AXES)
        return convergence + distance
