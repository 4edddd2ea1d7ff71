"""Losses that compare magnitude spectrograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from auralflow_pl.separation import Separation


class L1Loss(nn.Module):
    """Mean absolute difference between the magnitudes of estimate and target.

    `mean |M |X| - |T||` over batch, targets, channels, frequencies and frames: `M` is the mask, `X`
    the mixture, `T` the target.
    """

    def forward(self, separation: Separation) -> Tensor:
        """Loss of a batch, a scalar; lower is better."""
        return (separation.estimate_magnitude - separation.target_magnitude).abs().mean()
