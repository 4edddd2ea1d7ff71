"""A network of two convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auralflow_pl.models import MaskEstimate, MaskEstimator


class TwoLayers(MaskEstimator):
    """Two convolutions over frequencies and frames.

    Args:
        channels: of the magnitudes.
        width: channels between the two layers.
        targets: number of masks.
    """

    def __init__(self, channels: int, width: int = 4, targets: int = 1) -> None:
        super().__init__()
        self.targets = targets
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, channels * targets, 3, padding=1),
        )

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Magnitudes `(batch, channels, freq, frames)` to one mask for each target."""
        logits = self.layers(torch.log(magnitude + 1e-3))
        return MaskEstimate(torch.sigmoid(logits.unflatten(1, (self.targets, -1))))
