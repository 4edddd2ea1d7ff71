"""A network without look-ahead: its masks depend on the present and on earlier frames only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.base import CausalMaskEstimator, MaskEstimate
from auralflow_pl.models.blocks import (
    Compression,
    FrequencyAffine,
    InputNormalisation,
    MaskActivation,
    full_precision,
    initialise_weights,
)
from auralflow_pl.models.unet import UNetLevel

WIDEST = 4  # channels of the deeper levels, as a multiple of the first level's


class CausalDown(UNetLevel):
    """Downsampling by 2 in frequency: a convolution of 5 frequencies and 2 frames.

    The second frame is the one before, so a frame is computed when it arrives.
    """

    def __init__(self, inputs: int, outputs: int, leak: float) -> None:
        conv = nn.Conv2d(inputs, outputs, (5, 2), (2, 1), padding=(2, 0), bias=False)
        super().__init__(conv, leak, 0.0)

    def step(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map frames `(batch, inputs, freq, frames)` that follow the frame `before`.

        Args:
            x: frames.
            before: `(batch, inputs, freq, 1)`; None: `x` is the beginning.

        Returns:
            `(batch, outputs, freq / 2, frames)`, and the last frame of `x`.
        """
        extended = F.pad(x, (1, 0)) if before is None else torch.cat([before, x], -1)
        return self(extended), x[..., -1:]


class CausalUp(UNetLevel):
    """Upsampling by 2 in frequency: a transposed convolution of 4 frequencies and 1 frame."""

    def __init__(self, inputs: int, outputs: int, leak: float, dropout: float) -> None:
        super().__init__(upsampling(inputs, outputs, bias=False), leak, dropout)


def upsampling(inputs: int, outputs: int, bias: bool) -> nn.ConvTranspose2d:
    """Transposed convolution that doubles the frequencies and keeps the frames."""
    return nn.ConvTranspose2d(inputs, outputs, (4, 1), (2, 1), padding=(1, 0), bias=bias)


class CausalNetwork(CausalMaskEstimator):
    """Convolutional recurrent network for real time (after Tan and Wang, 2018).

    An encoder and a decoder with skip connections, as in the U-Net, but with strides in frequency
    only. Between them an LSTM reads the frames forwards. Convolutions over time see the present
    frame and the one before.

    Args:
        channels: audio channels, 1 for mono, 2 for stereo.
        targets: number of targets; each gets its own mask.
        n_fft: points of the STFT; gives the number of frequencies.
        bandwidth: share of the frequencies that the network processes, more than 0 and at most 1.
            Higher frequencies get the mask of the highest one that is processed.
        width: channels of the first level; the second has twice as many, all others four times.
        levels: number of levels; each halves the frequency resolution.
        hidden_size: units of the LSTM.
        layers: number of LSTM layers.
        dropout: dropout probability in the innermost three levels of the decoder, and between LSTM
            layers.
        hidden_leak: slope of the LeakyReLU of the hidden layers; 0 for SELU.
        mask_activation: sigmoid, relu, leaky_relu, hardtanh, tanh, softmax (over targets), prelu,
            selu or elu.
        mask_limit: largest value of the masks, at least 1.
        compression: of the magnitudes that the network hears: log, power or none.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        channels: int = 1,
        targets: int = 1,
        n_fft: int = 1024,
        bandwidth: float = 1.0,
        width: int = 16,
        levels: int = 6,
        hidden_size: int = 192,
        layers: int = 2,
        dropout: float = 0.2,
        hidden_leak: float = 0.2,
        mask_activation: str = "sigmoid",
        mask_limit: float = 1.0,
        compression: str = "log",
    ) -> None:
        super().__init__()
        if (
            not 0 < bandwidth <= 1
            or min(width, hidden_size) < 1
            or not 1 <= levels <= 10
            or not 1 <= layers <= 64
            or not 0 <= dropout <= 1
        ):
            raise InputError(
                f"model: bandwidth={bandwidth}, width={width}, levels={levels}, "
                f"hidden_size={hidden_size}, layers={layers}, dropout={dropout}: expected "
                "bandwidth more than 0 and at most 1, width and hidden_size at least 1, levels "
                "from 1 to 10, layers from 1 to 64, dropout from 0 to 1"
            )
        self.targets = targets
        self.bins = max(1, round(bandwidth * n_fft / 2))  # without the Nyquist bin: a power of 2
        self.padded_bins = -(-self.bins // 2**levels) * 2**levels
        self.compress = Compression(compression)
        self.normalize_input = InputNormalisation(self.bins)
        sizes = [width * min(2**level, WIDEST) for level in range(levels)]
        pairs = zip([channels, *sizes], sizes, strict=False)
        self.encoder = nn.ModuleList(CausalDown(*pair, hidden_leak) for pair in pairs)
        features = sizes[-1] * (self.padded_bins // 2**levels)
        self.reduce = nn.Linear(features, hidden_size)
        self.lstm = nn.LSTM(
            hidden_size,
            hidden_size,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.expand = nn.Linear(hidden_size, features)
        self.decoder = nn.ModuleList(
            CausalUp(
                2 * sizes[level],
                sizes[level - 1],
                hidden_leak,
                dropout if level >= levels - 3 else 0.0,
            )
            for level in range(levels - 1, 0, -1)
        )
        self.head = upsampling(2 * sizes[0], channels * targets, bias=True)
        self.normalize_output = FrequencyAffine(self.bins)
        self.mask_activation = MaskActivation(mask_activation, targets, limit=mask_limit)
        self.bounded = mask_limit == 1
        initialise_weights(self, hidden_leak)

    def simplify(self) -> None:
        """Fold normalisations into convolutions."""
        self.eval()
        for level in (*self.encoder, *self.decoder):
            level.fold_norm()

    def step(
        self, magnitude: Tensor, state: Sequence[Tensor] | None
    ) -> tuple[MaskEstimate, tuple[Tensor, ...]]:
        """See `CausalMaskEstimator.step`.

        The state is the last frame of the input of each level, and both states of the LSTM.
        """
        _, channels, freq, _ = magnitude.shape
        x = self.normalize_input(self.compress(magnitude[:, :, : self.bins]))
        x = F.pad(x, (0, 0, 0, self.padded_bins - self.bins))
        frames: list[Tensor] = []
        maps: list[Tensor] = []
        for number, down in enumerate(self.encoder):
            x, last = down.step(x, None if state is None else state[number])
            frames.append(last)
            maps.append(x)
        deepest, memory = self.remember(x, None if state is None else state[len(frames) :])
        x = torch.cat([deepest, maps.pop()], 1)
        for up in self.decoder:
            x = torch.cat([up(x), maps.pop()], 1)
        logits = full_precision(self.head(x)[:, :, : self.bins])
        logits = logits.unflatten(1, (self.targets, channels))
        mask = self.mask_activation(self.normalize_output(logits))
        mask = F.pad(mask, (0, 0, 0, freq - self.bins, 0, 0), mode="replicate")
        return MaskEstimate(mask), (*frames, *memory)

    def remember(
        self, x: Tensor, memory: Sequence[Tensor] | None
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Run the LSTM over the deepest map `(batch, size, cells, frames)`.

        Args:
            x: the map.
            memory: both states of the LSTM before the first frame; None: zeros.

        Returns:
            a map of the same shape, and the states after the last frame.
        """
        size, cells = x.shape[1:3]
        steps = self.reduce(x.flatten(1, 2).transpose(1, 2))
        steps, after = self.lstm(steps, None if memory is None else tuple(memory))
        return self.expand(steps).transpose(1, 2).unflatten(1, (size, cells)), after
