"""A network without batch statistics and without chance, for tests of several devices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auralflow_pl.models.base import MaskEstimate, MaskEstimator


class Plain(MaskEstimator):
    """Two convolutions; an item of a batch never meets another one."""

    def __init__(self, channels: int = 1, targets: int = 1, width: int = 4) -> None:
        super().__init__()
        self.targets = targets
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, channels * targets, 3, padding=1),
        )

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """A mask for each target."""
        logits = self.layers(torch.log(magnitude + 1e-3))
        return MaskEstimate(torch.sigmoid(logits.unflatten(1, (self.targets, -1))))
