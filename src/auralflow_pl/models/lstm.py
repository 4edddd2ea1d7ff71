"""Recurrent bottleneck: a bidirectional LSTM over time or frequency."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.unet import Bottleneck

TIME_AXIS, FREQUENCY_AXIS = 0, 1


class RecurrentBottleneck(Bottleneck):
    """Bidirectional LSTM along one axis of the deepest feature map, with a residual connection.

    With `input_axis=0` an item is one sequence over time, whose steps hold all channels and
    frequency cells. With `input_axis=1` every frame is one sequence over frequency, whose steps
    hold the channels of a cell. Sequences may have any length. Items of a batch do not interact.

    Args:
        size: channels of the deepest map.
        cells: frequency cells of the deepest map.
        recurrent_depth: number of LSTM layers.
        hidden_size: units per direction.
        input_axis: 0 for time, 1 for frequency.
        dropout: dropout probability between the layers.

    Raises:
        InputError: another axis, or a depth or size out of range.
    """

    def __init__(
        self,
        size: int,
        cells: int,
        recurrent_depth: int = 3,
        hidden_size: int = 608,
        input_axis: int = FREQUENCY_AXIS,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if input_axis not in (TIME_AXIS, FREQUENCY_AXIS):
            raise InputError(f"input_axis={input_axis}: expected 0 (time) or 1 (frequency)")
        if not 1 <= recurrent_depth <= 64 or hidden_size < 1:
            raise InputError(
                f"recurrent_depth={recurrent_depth}, hidden_size={hidden_size}: expected a depth "
                "from 1 to 64 and a size of at least 1"
            )
        self.input_axis = input_axis
        self.frame_reach = None if input_axis == TIME_AXIS else 0
        features = size * cells if input_axis == TIME_AXIS else size
        self.reduce = nn.Linear(features, size) if input_axis == TIME_AXIS else nn.Identity()
        self.lstm = nn.LSTM(
            size,
            hidden_size,
            recurrent_depth,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if recurrent_depth > 1 else 0.0,
        )
        self.expand = nn.Linear(2 * hidden_size, features)

    def forward(self, x: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Map `(batch, size, cells, frames)` to the same shape; no penalties."""
        batch, size, cells, frames = x.shape
        if self.input_axis == TIME_AXIS:
            steps = x.permute(0, 3, 1, 2).reshape(batch, frames, size * cells)
        else:
            steps = x.permute(0, 3, 2, 1).reshape(batch * frames, cells, size)
        read = self.expand(self.lstm(self.reduce(steps))[0])
        if self.input_axis == TIME_AXIS:
            return x + read.reshape(batch, frames, size, cells).permute(0, 2, 3, 1), {}
        return x + read.reshape(batch, frames, cells, size).permute(0, 3, 2, 1), {}
