"""Fully connected layers over frequency, where a convolution only sees neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auralflow_pl.models.blocks import activation_module


def mixing_layers(sizes: Sequence[int], cells: int, mixing: int, leak: float) -> list[nn.Module]:
    """What changes the maps of each level, the finest first.

    Args:
        sizes: channels of the levels.
        cells: frequencies of the deepest level; every finer one has twice as many.
        mixing: units are this part of the frequencies; 0: nothing is changed.
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
    """Adds to every frequency what a small network makes of all of them (Choi et al., 2020).

    The partials of a voice are far apart, so convolutions relate them only at low resolution. Two
    linear layers over frequency, shared by channels and frames, do it at any. In the beginning
    nothing is added: the last normalisation starts with a scale of 0 (Goyal et al., 2017).

    Args:
        channels: of the maps.
        cells: frequencies of the maps.
        units: of the layer between.
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
        """`(batch, channels, cells, frames)`, the same shape."""
        mixed = self.activation(self.norm_down(self.down(x)))
        return x + self.activation(self.norm_up(self.up(mixed)))


class FrequencyLinear(nn.Module):
    """A linear layer over frequency: `(batch, channels, inputs, frames)` to `outputs`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """One product of matrices; with channels last, no copy."""
        batch, channels, freq, frames = x.shape
        columns = x.permute(0, 2, 3, 1).reshape(batch, freq, frames * channels)
        mixed = torch.matmul(self.weight, columns)
        return mixed.reshape(batch, -1, frames, channels).permute(0, 3, 1, 2)
