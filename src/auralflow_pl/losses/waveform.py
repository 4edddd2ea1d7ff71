"""Losses that compare waveforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from auralflow_pl.separation import Separation


class SISDRLoss(nn.Module):
    """Negative scale-invariant SDR in dB, averaged over batch and targets.

    The channels of a target count as one signal, so one scale serves all of them. Where the target
    is silent, SI-SDR is not defined; there the loss is the level of the estimate above `floor_db`,
    so that leaking into silence costs, and gradients stay finite. The floor of the projection lies
    30 dB lower, so that a silent estimate of a target that is not silent costs 30 dB: silence never
    wins.

    Args:
        floor_db: level in dBFS below which error counts as none.
    """

    def __init__(self, floor_db: float = -80.0) -> None:
        super().__init__()
        self.floor = 10 ** (floor_db / 10)

    def forward(self, separation: Separation) -> Tensor:
        """Loss of a batch, a scalar; lower is better."""
        estimate = separation.estimate.flatten(-2)
        target = separation.target.flatten(-2)
        energy = target.square().mean(-1)
        scale = (estimate * target).mean(-1) / energy.clamp(min=self.floor)
        projection = scale.square() * energy
        noise = (estimate - scale.unsqueeze(-1) * target).square().mean(-1)
        return (
            10
            * (torch.log10(noise + self.floor) - torch.log10(projection + self.floor / 1000)).mean()
        )
