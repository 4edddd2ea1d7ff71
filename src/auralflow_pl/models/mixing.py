"""Fully connected layers over frequency for the feature maps of the U-Net."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auralflow_pl.models.blocks import activation_module


def mixing_layers(sizes: Sequence[int], cells: int, mixing: int, leak: float) -> list[nn.Module]:
    """One frequency layer for each level, from the finest to the deepest.

    Args:
        sizes: channels of the levels.
        cells: frequencies of the deepest level; every finer one has twice as many.
        mixing: bottleneck factor: a level with `freq` frequencies gets `freq // mixing` hidden
            units; 0: identity layers.
        leak: slope of LeakyReLU; 0 for SELU.
    """
    if not mixing:
        return [nn.Identity() for _ in sizes]
    heights = [cells * 2**level for level in reversed(range(len(sizes)))]
    return [
        FrequencyMixing(size, height, max(1, height // mixing), leak)
        for size, height in zip(sizes, heights, strict=True)
    ]


class FrequencyMixing(nn.Module):
    """Residual block of two linear layers over frequency (TDF; Choi et al., 2020).

    Convolutions relate distant partials of a voice only at low resolution; these layers do so at
    any resolution. Their weights are shared by channels and frames. The block is initially the
    identity: the last normalisation starts with a scale of 0 (Goyal et al., 2017).

    Args:
        channels: channels of the feature maps.
        cells: frequencies of the feature maps.
        units: hidden units.
        leak: slope of LeakyReLU; 0 for SELU.
    """

    def __init__(self, channels: int, cells: int, units: int, leak: float) -> None:
        super().__init__()
        self.down = FrequencyLinear(cells, units)
        self.up = FrequencyLinear(units, cells)
        self.norm_down, self.norm_up = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm_up.weight)
        self.activation = activation_module(leak)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, cells, frames)` to the same shape."""
        mixed = self.activation(self.norm_down(self.down(x)))
        return x + self.activation(self.norm_up(self.up(mixed)))


class FrequencyLinear(nn.Module):
    """Linear layer over frequency: `(batch, channels, freq, frames)` with `inputs` to `outputs`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer as one matrix product; maps in channels-last format are not copied."""
        batch, channels, freq, frames = x.shape
        columns = x.permute(0, 2, 3, 1).reshape(batch, freq, frames * channels)
        mixed = torch.matmul(self.weight, columns)
        return mixed.reshape(batch, -1, frames, channels).permute(0, 3, 1, 2)
