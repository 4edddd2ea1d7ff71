"""open-unmix: recurrent networks over time, one for each target (Stöter et al., 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.models.blocks import full_precision


class OpenUnmix(MaskEstimator):
    """The networks of open-unmix for one or several targets, which share nothing.

    The state dict of `networks.<number of the target>` is that of `openunmix.OpenUnmix`, and so are
    the masks. They are not bounded: a source may be louder than the mixture where others cancel it.

    The mean and scale of every frequency of the input are learned parameters. open-unmix starts
    them from statistics of its training set. Here they start from 0 and 1: the batch normalisation
    behind the first layer makes up for the level.

    Args:
        channels: audio channels, 1 for mono, 2 for stereo.
        targets: number of targets; each gets a network.
        n_fft: points of the STFT; gives the number of frequencies.
        bandwidth: share of the frequencies that the networks hear, more than 0 and at most 1. Masks
            are estimated for all.
        hidden_size: units of the layers, an even number.
        layers: number of LSTM layers.
        unidirectional: the LSTM reads forwards only, with as many units as both directions have.
        dropout: dropout probability between LSTM layers.

    Raises:
        InputError: an argument out of range.
    """

    bounded = False

    def __init__(
        self,
        channels: int = 2,
        targets: int = 1,
        n_fft: int = 4096,
        bandwidth: float = 1.0,
        hidden_size: int = 512,
        layers: int = 3,
        unidirectional: bool = False,
        dropout: float = 0.4,
    ) -> None:
        super().__init__()
        if (
            not 0 < bandwidth <= 1
            or hidden_size < 2
            or hidden_size % 2
            or not 1 <= layers <= 64
            or not 0 <= dropout <= 1
        ):
            raise InputError(
                f"model: bandwidth={bandwidth}, hidden_size={hidden_size}, layers={layers}, "
                f"dropout={dropout}: expected bandwidth more than 0 and at most 1, an even "
                "hidden_size, layers from 1 to 64, dropout from 0 to 1"
            )
        heard = int(bandwidth * (n_fft // 2)) + 1
        self.networks = nn.ModuleList(
            TargetNetwork(
                channels, n_fft // 2 + 1, heard, hidden_size, layers, unidirectional, dropout
            )
            for _ in range(targets)
        )

    def simplify(self) -> None:
        """Fold scales and normalisations into the linear layers."""
        self.eval()
        for network in self.networks:
            network.fold_scales()

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate one mask per target from a magnitude `(batch, channels, freq, frames)`."""
        steps = magnitude.permute(0, 3, 1, 2)
        masks = torch.stack([network(steps) for network in self.networks], dim=1)
        return MaskEstimate(masks.permute(0, 1, 3, 4, 2))


class TargetNetwork(nn.Module):
    """The network of one target: an encoder, an LSTM with a skip connection, and a decoder.

    Args:
        channels: audio channels.
        freq: number of frequencies.
        heard: number of frequencies that it hears, from the lowest on.
        hidden_size: units of the layers.
        layers: number of LSTM layers.
        unidirectional: the LSTM reads forwards only.
        dropout: dropout probability between LSTM layers.
    """

    def __init__(
        self,
        channels: int,
        freq: int,
        heard: int,
        hidden_size: int,
        layers: int,
        unidirectional: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.heard = heard
        self.input_mean: Tensor | None = nn.Parameter(torch.zeros(heard))  # what is added
        self.input_scale: Tensor | None = nn.Parameter(torch.ones(heard))
        self.fc1 = nn.Linear(heard * channels, hidden_size, bias=False)
        self.bn1: nn.Module = nn.BatchNorm1d(hidden_size)
        self.lstm = nn.LSTM(
            hidden_size,
            hidden_size if unidirectional else hidden_size // 2,
            layers,
            batch_first=True,
            bidirectional=not unidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.fc2 = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.bn2: nn.Module = nn.BatchNorm1d(hidden_size)
        self.fc3 = nn.Linear(hidden_size, freq * channels, bias=False)
        self.bn3: nn.Module = nn.BatchNorm1d(freq * channels)
        self.output_scale: Tensor | None = nn.Parameter(torch.ones(freq))
        self.output_mean: Tensor | None = nn.Parameter(torch.ones(freq))

    def forward(self, steps: Tensor) -> Tensor:
        """Mask of a magnitude; both are `(batch, frames, channels, freq)`."""
        batch, frames, channels, freq = steps.shape
        x = steps[..., : self.heard]
        if self.input_mean is not None:
            x = (x + self.input_mean) * self.input_scale
        x = self.bn1(self.fc1(x.reshape(batch * frames, channels * self.heard)))
        x = torch.tanh(x).reshape(batch, frames, -1)
        x = torch.cat([x, self.lstm(x)[0]], -1).flatten(0, 1)
        x = torch.relu(self.bn2(self.fc2(x)))
        x = full_precision(self.bn3(self.fc3(x))).reshape(batch, frames, channels, freq)
        if self.output_mean is not None:
            x = x * self.output_scale + self.output_mean
        return torch.relu(x)

    def fold_scales(self) -> None:
        """Fold scales and the normalisations of evaluation mode into the linear layers."""
        channels = self.fc1.in_features // self.heard
        scale, shift = (repeated(part, channels) for part in (self.input_scale, self.input_mean))
        self.fc1 = folded(self.fc1, self.bn1, scale, shift * scale)
        self.fc2 = folded(self.fc2, self.bn2)
        scale, shift = (repeated(part, channels) for part in (self.output_scale, self.output_mean))
        weight, bias = (part.double() for part in folded(self.fc3, self.bn3).parameters())
        self.fc3 = linear(scale[:, None] * weight, scale * bias + shift)
        self.bn1, self.bn2, self.bn3 = nn.Identity(), nn.Identity(), nn.Identity()
        self.input_mean = self.input_scale = self.output_mean = self.output_scale = None


def repeated(values: Tensor | None, channels: int) -> Tensor:
    """Values per frequency for all channels, `(channels * freq,)`, in float64."""
    assert values is not None  # folding is done once
    return values.detach().double().repeat(channels)


@torch.no_grad()
def folded(
    layer: nn.Linear, norm: nn.Module, scale: Tensor | float = 1.0, shift: Tensor | None = None
) -> nn.Linear:
    """The linear layer that maps `x` to `norm(layer(x * scale + shift))` in evaluation mode."""
    assert isinstance(norm, nn.BatchNorm1d)
    weight = layer.weight.double()
    bias = weight.new_zeros(len(weight)) if shift is None else weight @ shift
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    gain = norm.weight.double() * (variance.double() + norm.eps).rsqrt()
    bias = gain * (bias - mean.double()) + norm.bias.double()
    return linear(gain[:, None] * weight * scale, bias)


@torch.no_grad()
def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer in float32 with a weight `(outputs, inputs)` and a bias `(outputs,)`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    return layer
