"""Dual-path bottleneck: LSTMs over frequency and over time in turn (Luo et al., 2020)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.unet import Bottleneck


class DualPathBottleneck(Bottleneck):
    """Blocks of a bidirectional LSTM over frequency and one over time, each with a residual.

    Frames share the weights of the first, frequency cells those of the second, so there are few
    weights, and a voice is followed over the whole signal. Blocks begin as the identity.

    Args:
        size: channels of the deepest map.
        cells: frequency cells of the deepest map, on which no weight depends.
        blocks: number of blocks.
        hidden_size: units per direction.

    Raises:
        InputError: a number out of range.
    """

    frame_reach = None

    def __init__(
        self,
        size: int,
        cells: int,  # noqa: ARG002 - part of the interface
        blocks: int = 2,
        hidden_size: int = 128,
    ) -> None:
        super().__init__()
        if not 1 <= blocks <= 64 or hidden_size < 1:
            raise InputError(
                f"blocks={blocks}, hidden_size={hidden_size}: expected 1 to 64 blocks and a size "
                "of at least 1"
            )
        self.over_frequency, self.over_time = (
            nn.ModuleList(ResidualLSTM(size, hidden_size) for _ in range(blocks)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Map `(batch, size, cells, frames)` to the same shape; no penalties."""
        batch, size, cells, frames = x.shape
        x = x.permute(0, 3, 2, 1)
        for over_frequency, over_time in zip(self.over_frequency, self.over_time, strict=True):
            x = over_frequency(x.reshape(batch * frames, cells, size))
            x = x.reshape(batch, frames, cells, size).transpose(1, 2)
            x = over_time(x.reshape(batch * cells, frames, size))
            x = x.reshape(batch, cells, frames, size).transpose(1, 2)
        return x.permute(0, 3, 2, 1), {}


class ResidualLSTM(nn.Module):
    """Normalisation, bidirectional LSTM and projection, added to the input; first the identity."""

    def __init__(self, size: int, hidden_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.lstm = nn.LSTM(size, hidden_size, batch_first=True, bidirectional=True)
        self.expand = nn.Linear(2 * hidden_size, size)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map sequences `(batch, steps, size)` to the same shape."""
        return torch.add(x, self.expand(self.lstm(self.norm(x))[0]))
