"""Bottlenecks that relate all frames: recurrent layers and attention."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.unet import Bottleneck


class DualPathBottleneck(Bottleneck):
    """Dual path (Luo et al., 2020): bidirectional LSTMs over frequency and over time in turn.

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


class AttentionBottleneck(Bottleneck):
    """Every frame attends to all others (after Vaswani et al., 2017): repeated music is found.

    A frame of the deepest map, all channels and cells, is reduced to `width` features. Each layer
    adds multi-head attention, and what it finds is added to the map. There is no code of positions:
    the convolutions hold what is near. Layers begin as the identity.

    Args:
        size: channels of the deepest map.
        cells: frequency cells of the deepest map.
        layers: number of layers.
        width: features of a frame.
        heads: attention heads; a divisor of `width`.

    Raises:
        InputError: a number out of range, or heads that do not divide the width.
    """

    frame_reach = None

    def __init__(
        self, size: int, cells: int, layers: int = 1, width: int = 256, heads: int = 4
    ) -> None:
        super().__init__()
        if not 1 <= layers <= 64 or width < 1 or heads < 1 or width % heads:
            raise InputError(
                f"layers={layers}, width={width}, heads={heads}: expected 1 to 64 layers, and a "
                "number of heads that divides the width"
            )
        self.heads = heads
        self.norm = nn.LayerNorm(size * cells)
        self.reduce = nn.Linear(size * cells, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.inputs = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(layers))
        self.outputs = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.expand = nn.Linear(width, size * cells)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Map `(batch, size, cells, frames)` to the same shape; no penalties."""
        _, size, cells, _ = x.shape
        frames = self.reduce(self.norm(x.flatten(1, 2).transpose(1, 2)))
        for norm, enter, leave in zip(self.norms, self.inputs, self.outputs, strict=True):
            parts = enter(norm(frames)).unflatten(-1, (3, self.heads, -1))
            query, key, value = parts.permute(2, 0, 3, 1, 4)  # (3, batch, heads, frames, features)
            found = F.scaled_dot_product_attention(query, key, value)
            frames = frames + leave(found.transpose(1, 2).flatten(-2))
        return x + self.expand(frames).transpose(1, 2).unflatten(1, (size, cells)), {}
