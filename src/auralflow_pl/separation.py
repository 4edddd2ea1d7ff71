"""From audio to audio: the Separator, and the bundle of quantities that losses read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from auralflow_pl.audio.resampling import match_length, resample
from auralflow_pl.errors import InputError
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.signal.overlap_add import Windows, overlap_add
from auralflow_pl.signal.stft import STFT


@dataclass
class Separation:
    """A batch of chunks and what the network made of it; the rest is computed on demand."""

    mixture: Tensor  # (batch, channels, time)
    spectrogram: Tensor  # of the mixture, complex: (batch, channels, freq, frames)
    mask: Tensor  # (batch, targets, channels, freq, frames)
    penalties: Mapping[str, Tensor]  # scalars that the network adds to the loss
    stft: STFT
    target: Tensor  # (batch, targets, channels, time)

    @cached_property
    def mixture_magnitude(self) -> Tensor:
        """`(batch, channels, freq, frames)`."""
        return self.spectrogram.abs()

    @cached_property
    def estimate_magnitude(self) -> Tensor:
        """`(batch, targets, channels, freq, frames)`."""
        return self.mask * self.mixture_magnitude.unsqueeze(1)

    @cached_property
    def target_magnitude(self) -> Tensor:
        """`(batch, targets, channels, freq, frames)`."""
        return self.stft(self.target).abs()

    @cached_property
    def rest_magnitude(self) -> Tensor:
        """Of the mixture without each target, `(batch, targets, channels, freq, frames)`."""
        return self.stft(self.mixture.unsqueeze(1) - self.target).abs()

    @cached_property
    def estimate(self) -> Tensor:
        """Waveforms `(batch, targets, channels, time)`, with the phase of the mixture."""
        masked = self.mask * self.spectrogram.unsqueeze(1)
        return self.stft.inverse(masked, self.mixture.shape[-1])


class Separator(nn.Module):
    """Separates audio of any length, rate and number of channels with a mask estimator.

    Training, validation, evaluation and separation all go through it. Signals longer than a window
    are cut into windows that overlap; see `signal.overlap_add.Windows`.

    Args:
        network: the mask estimator.
        stft: the transform it was trained with.
        targets: names of what it separates, in the order of its masks; a mapping also says which
            stems of a data set each of them is the sum of.
        sample_rate: of the network, in Hz.
        channels: of the network.
        window_seconds: length of a window.
        overlap: share of a window that it has in common with the next one, from 0 to 0.5. Two
            fifths of it on either side are context and thrown away, one fifth is a cross-fade.
        batch_size: windows that are separated at a time.

    Raises:
        InputError: a setting is out of its range.
    """

    def __init__(
        self,
        network: MaskEstimator,
        stft: STFT,
        targets: Mapping[str, Sequence[str]] | Sequence[str],
        sample_rate: int,
        channels: int,
        window_seconds: float = 30.0,
        overlap: float = 0.25,
        batch_size: int = 1,
    ) -> None:
        super().__init__()
        if window_seconds <= 0 or not 0 <= overlap <= 0.5 or batch_size < 1:
            raise InputError(
                f"window_seconds={window_seconds}, overlap={overlap}, batch_size={batch_size}: "
                "expected window_seconds > 0, overlap from 0 to 0.5, batch_size >= 1"
            )
        self.network = network
        self.stft = stft
        self.targets = tuple(targets)
        self.sums = dict(targets) if isinstance(targets, Mapping) else {t: (t,) for t in targets}
        self.sample_rate = sample_rate
        self.channels = channels
        self.batch_size = batch_size
        align = stft.hop_length * network.frame_multiple
        length = max(2, round(window_seconds * sample_rate / align)) * align
        shared = int(overlap * length)
        context = 2 * shared // 5
        self.windows = Windows(length, context, shared - 2 * context, align)

    def separate_chunk(self, mixture: Tensor, target: Tensor | None = None) -> Separation:
        """One pass over chunks `(batch, channels, time)` at the rate of the network.

        Args:
            mixture: what is separated.
            target: `(batch, targets, channels, time)`, where a loss will ask for it.
        """
        spectrogram = self.stft(mixture)
        mask, penalties = self.network(spectrogram.abs())
        target = mixture.new_empty(0) if target is None else target
        return Separation(mixture, spectrogram, mask.float(), penalties, self.stft, target)

    def forward(self, audio: Tensor, sample_rate: int | None = None) -> Tensor:
        """Separate whole signals.

        Channels that are as many as the network's are separated together. Otherwise each channel is
        separated by itself, so any number of them comes back as it was.

        Args:
            audio: `(..., channels, time)`, in [-1, 1].
            sample_rate: in Hz; default: the rate of the network.

        Returns:
            float32 `(..., targets, channels, time)`, exactly as long, at the rate of the input.
            Gradients are recorded in training mode only.

        Raises:
            InputError: no samples, or no axis of channels.
        """
        if audio.ndim < 2 or audio.numel() == 0:
            raise InputError(
                f"audio of shape {tuple(audio.shape)}: expected (..., channels, time), not empty"
            )
        *batch, channels, time = audio.shape
        audio = audio.float()
        rate = self.sample_rate if sample_rate is None else sample_rate
        signals = resample(audio, rate, self.sample_rate).reshape(
            -1, channels, -(-time * self.sample_rate // rate)
        )
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            estimates = torch.stack([self.separate_signal(signal) for signal in signals])
        estimates = match_length(resample(estimates, self.sample_rate, rate), time)
        return estimates.reshape(*batch, len(self.targets), channels, time)

    def separate_signal(self, audio: Tensor) -> Tensor:
        """`(channels, time)` at the rate of the network to `(targets, channels, time)`."""
        if audio.shape[0] == self.channels:
            return overlap_add(self.estimate_windows, audio, self.windows, self.batch_size)
        parts = [
            overlap_add(
                self.estimate_windows,
                channel.expand(self.channels, -1),
                self.windows,
                self.batch_size,
            ).mean(-2)
            for channel in audio
        ]
        return torch.stack(parts, dim=1)

    def estimate_windows(self, windows: Tensor) -> Tensor:
        """`(batch, channels, time)` to `(batch, targets, channels, time)`."""
        return self.separate_chunk(windows).estimate
