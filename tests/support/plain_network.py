"""A deterministic network without batch statistics, for tests with several devices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auralflow_pl.models.base import MaskEstimate, MaskEstimator


class Plain(MaskEstimator):
    """Two convolutions; items of a batch do not interact."""

    def __init__(self, channels: int = 1, targets: int = 1, width: int = 4) -> None:
        super().__init__()
        self.targets = targets
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, channels * targets, 3, padding=1),
        )

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate one mask per target."""
        logits = self.layers(torch.log(magnitude + 1e-3))
        return MaskEstimate(torch.sigmoid(logits.unflatten(1, (self.targets, -1))))
