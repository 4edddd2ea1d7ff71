"""The Separator, which maps audio of any length to estimates of its targets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from auralflow_pl.errors import Cancelled, InputError
from auralflow_pl.losses.base import Separation
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.separator.input import (
    AudioArray,
    CheckedBlocks,
    as_float_tensor,
    check_setting_ranges,
    network_input,
    rate_heard,
    whole_rate,
)
from auralflow_pl.separator.precision import autocast_dtype
from auralflow_pl.separator.realtime import RealTimeSeparator
from auralflow_pl.signal.resampling import resample_blocks
from auralflow_pl.signal.stft import STFT
from auralflow_pl.signal.streams import (
    align_blocks,
    branch_blocks,
    delay_blocks,
    extend_blocks,
    skip_samples,
)
from auralflow_pl.signal.wiener import refine_blocks
from auralflow_pl.signal.windows import choose_windows, overlap_add

AudioType = TypeVar("AudioType", Tensor, np.ndarray)

ProgressCallback = Callable[[float], bool | None]

LONGEST_SHIFT_SECONDS = 0.5

WIENER_FRAMES = 300  # of a block of the Wiener filter; 7 s at a hop of 1024 and 44.1 kHz


class Separator(nn.Module):
    """Separates audio of any length, sample rate and number of channels with a mask estimator.

    Training, validation, evaluation and separation all use this class. Signals longer than a
    window are cut into overlapping windows, see `signal.windows.WindowLayout`.

    Args:
        network: the mask estimator.
        stft: the STFT that the network was trained with.
        targets: names of the targets, in the order of the masks; a mapping also gives the stems
            of a data set whose sum each target is.
        sample_rate: sample rate of the network, in Hz.
        channels: channels of the network.
        window_seconds: length of a window, from 0.001 to 600; it must have room for the context.
            None: derived from the receptive field of the network, see `choose_windows`.
        overlap: share of a window that it has in common with the next one, from 0 to 0.5. Two
            fifths of the overlap on either side are discarded context, one fifth is a cross-fade.
            None: the context is the receptive field of the network. A given overlap may leave
            less, and the seams are then less exact.
        shifts: number of passes with shifted windows whose mean is taken, from 1 to 100.
        seed: seed of the random shifts, from 0 to 2**63 - 1.
        batch_size: windows per forward pass of the network, from 1 to 2**20.
        precision: number format of the network in autocast, `fp32`, `bf16`, `fp16`, or a dtype
            of torch; None: no autocast.
        padding_seconds: silence before and after the signal, which the network hears and which is
            cut off again, from 0 to 600.
        wiener_steps: steps of EM of the multichannel Wiener filter, from 0 (no filter) to 20, over
            blocks of about 300 frames of the STFT; the estimates then about sum to the mixture.
        wiener_residual: what the estimates leave of the mixture is another source for the filter,
            which is required for a single target.
        speeds: speeds at which the network hears the signal, 1 to 20 of them from 0.5 to 2, each
            rounded to about 0.01, whose estimates are averaged; None: 1 alone.
        mid_side: of a stereo signal, the network also hears the middle (half the sum of the
            channels) and the side (half their difference), each alone; the mean of both ways is
            the estimate. For networks of two channels; None: False.

    Raises:
        InputError: a setting is out of its range, windows are too short for the network, the
            filter has a single source, or `mid_side` is for a network of other channels.
    """

    def __init__(
        self,
        network: MaskEstimator,
        stft: STFT,
        targets: Mapping[str, Sequence[str]] | Sequence[str],
        sample_rate: int,
        channels: int,
        window_seconds: float | None = None,
        overlap: float | None = None,
        shifts: int = 1,
        seed: int = 0,
        batch_size: int = 1,
        precision: str | torch.dtype | None = None,
        padding_seconds: float = 0.0,
        wiener_steps: int = 0,
        wiener_residual: bool = False,
        speeds: Sequence[float] | None = None,
        mid_side: bool | None = None,
    ) -> None:
        super().__init__()
        check_setting_ranges(
            {
                "window_seconds": window_seconds,
                "overlap": overlap,
                "shifts": shifts,
                "seed": seed,
                "batch_size": batch_size,
                "padding_seconds": padding_seconds,
                "wiener_steps": wiener_steps,
                "speeds": speeds,
            }
        )
        if wiener_steps and len(targets) == 1 and not wiener_residual:
            raise InputError(
                f"separation.wiener_steps={wiener_steps}: with one target and no residual, all of "
                "the mixture is the target; pass wiener_residual=true or a model of several targets"
            )
        if mid_side and channels != 2:
            raise InputError(
                f"separation.mid_side=true: the network has {channels} channels, expected 2; pass "
                "mid_side=false"
            )
        self.network = network
        self.config: Mapping[str, Any] | None = None  # of the model, if it was built from one
        self.stft = stft
        self.targets = tuple(targets)
        self.target_stems = (
            dict(targets) if isinstance(targets, Mapping) else {t: (t,) for t in targets}
        )
        self.sample_rate = sample_rate
        self.speeds = tuple(map(float, speeds or (1.0,)))
        self.mid_side = bool(mid_side)
        self.rates_heard = [rate_heard(sample_rate, speed) for speed in self.speeds]
        self.channels = channels
        self.batch_size = batch_size
        self.precision = autocast_dtype(precision)
        self.wiener_steps, self.wiener_residual = wiener_steps, wiener_residual
        blocks = max(1, round(WIENER_FRAMES / network.frame_multiple)) if wiener_steps else 1
        self.frame_multiple = blocks * network.frame_multiple  # windows hold whole blocks
        self.windows = choose_windows(
            stft,
            self.frame_multiple,
            network.frame_reach,
            sample_rate,
            window_seconds,
            overlap,
        )
        places = torch.Generator().manual_seed(seed)
        longest = round(LONGEST_SHIFT_SECONDS * sample_rate)
        moved = torch.randint(1, longest + 1, (shifts - 1,), generator=places)
        self.padding = round(padding_seconds * sample_rate)  # samples
        self.delays = tuple(self.padding + delay for delay in (0, *moved.tolist()))

    def train(self, mode: bool = True) -> Separator:
        """Set training mode, with gradients through the network, or evaluation mode.

        Raises:
            InputError: training mode, and the network has no weights that can be trained.
        """
        if mode and self.network.untrainable:
            raise InputError(f"this Separator cannot be trained: {self.network.untrainable}")
        return super().train(mode)

    def shrink(self) -> bool:
        """Halve the batch size, or at batch size 1 the part of a window that is new.

        The context is kept, so the estimates stay the same up to rounding.

        Returns:
            False if the windows cannot become shorter.
        """
        if self.batch_size > 1:
            self.batch_size //= 2
            return True
        shorter = self.windows.shortened()
        self.windows = shorter or self.windows
        return shorter is not None

    def separate_chunk(self, mixture: Tensor, target: Tensor | None = None) -> Separation:
        """Separate chunks in one forward pass, at the sample rate of the network.

        Args:
            mixture: `(batch, channels, time)`.
            target: true targets `(batch, targets, channels, time)`, for a loss that needs them.
        """
        spectrogram = self.stft(mixture)
        mask, penalties = self.masks(spectrogram)
        target = mixture.new_empty(0) if target is None else target
        return Separation(mixture, spectrogram, mask, penalties, self.stft, target)

    def masks(self, spectrogram: Tensor) -> MaskEstimate:
        """Masks of a complex spectrogram `(batch, channels, freq, frames)`, real or complex."""
        heard = network_input(self.network, spectrogram)
        with self.autocast(spectrogram.device.type):
            mask, penalties = self.network(heard)
        mask = mask.float()
        if self.network.complex_masks:
            mask = torch.complex(*mask.chunk(2, dim=1))
        return MaskEstimate(mask, penalties)

    def autocast(self, device: str) -> AbstractContextManager[Any]:
        """Autocast context for `precision`; without one, an outer autocast stays in effect."""
        return torch.autocast(device, self.precision) if self.precision else nullcontext()

    if TYPE_CHECKING:  # nn.Module says that a call takes and returns anything

        def __call__(
            self,
            audio: AudioType,
            sample_rate: int | None = None,
            progress: ProgressCallback | None = None,
        ) -> AudioType:
            """See `forward`."""

    def forward(
        self,
        audio: AudioArray,
        sample_rate: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> AudioArray:
        """Separate whole signals.

        Audio with as many channels as the network is separated with its channels together. With
        any other number, each channel is separated independently.

        Args:
            audio: float tensor or array `(..., channels, time)`, in [-1, 1].
            sample_rate: in whole Hz, 4000 to 768000; default: the sample rate of the network.
            progress: called with the finished share, from 0 to 1; returns False to stop.

        Returns:
            float32 `(..., targets, channels, time)`, of the same length and sample rate as the
            input, and on its device; an array if `audio` is an array. Gradients are recorded in
            training mode only.

        Raises:
            InputError: no samples, no channel axis, integers, samples that are not finite, or a
                sample rate out of its range.
            Cancelled: `progress` returned False.
        """
        signals = as_float_tensor(audio)
        *batch, channels, time = signals.shape
        total, done, estimates = signals.numel() // channels, 0, []
        for signal in signals.flatten(0, -3) if batch else [signals]:
            parts: list[Tensor] = []
            for part in self.stream([signal], sample_rate):
                parts.append(torch.as_tensor(part))
                done += part.shape[-1]
                if progress and progress(done / total) is False:
                    raise Cancelled
            estimates.append(torch.cat(parts, -1))
        stacked = torch.stack(estimates).reshape(*batch, len(self.targets), channels, time)
        return stacked.numpy() if isinstance(audio, np.ndarray) else stacked

    def stream(
        self,
        blocks: Iterable[AudioArray],
        sample_rate: int | None = None,
        output_rate: int | None = None,
    ) -> Iterator[AudioArray]:
        """Separate a signal block by block; memory does not grow with its length.

        The estimates do not depend on how the signal is cut into blocks. They lag behind the
        input by about one window.

        Args:
            blocks: float tensors or arrays `(channels, time)`, in [-1, 1].
            sample_rate: in whole Hz, 4000 to 768000; default: the sample rate of the network.
            output_rate: sample rate of the estimates; default: `sample_rate`.

        Yields:
            float32 `(targets, channels, time)`, arrays if the blocks are arrays. Their total
            length is that of the blocks, or `ceil(time * output_rate / sample_rate)`. They are on
            the device of the blocks, which may be another one than that of the Separator.

        Raises:
            InputError: no samples, no channel axis, different numbers of channels, integers,
                samples that are not finite, or a sample rate out of its range.
        """
        rate = whole_rate("sample_rate", sample_rate, self.sample_rate)
        wanted = whole_rate("output_rate", output_rate, rate)
        device = self.stft.window.device
        signal = CheckedBlocks(blocks, self.training and torch.is_grad_enabled(), device)
        estimates = self.at_speeds(resample_blocks(signal, rate, self.sample_rate))
        given = 0
        for part in resample_blocks(estimates, self.sample_rate, wanted):
            # After resampling there and back, a signal may be longer than the original.
            total = -(-signal.time * wanted // rate) if signal.ended else sys.maxsize
            fitting = part[..., : max(0, total - given)]
            given += part.shape[-1]
            if fitting.shape[-1]:
                fitting = fitting.to(signal.given)
                yield fitting.numpy() if signal.arrays else fitting

    def realtime(self, block: int) -> RealTimeSeparator:
        """Separate a signal while it arrives, without windows and with state between blocks.

        Args:
            block: samples per block, for which the latency is stated.

        Raises:
            InputError: the network has look-ahead (all but those of `model=causal`), or a setting
                needs the whole signal.
        """
        passes = len(self.delays) * len(self.rates_heard)
        if passes > 1 or self.padding or self.wiener_steps or self.mid_side:
            raise InputError(
                "realtime: shifts, speeds, mid_side, padding_seconds and wiener_steps need the "
                "whole signal; leave them at their defaults, and pass speeds=[1] and "
                "mid_side=false if the model names others"
            )
        audio, targets = (self.sample_rate, self.channels), len(self.targets)
        return RealTimeSeparator(self.network, self.stft, targets, *audio, block, self.precision)

    def at_speeds(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Separate a stream at the sample rate of the network, averaged over all speeds.

        Args:
            blocks: `(channels, time)`.

        Yields:
            `(targets, channels, time)`, as long as the stream or a little longer.
        """
        rate = self.sample_rate
        branches = branch_blocks(blocks, len(self.rates_heard))
        estimates = [
            resample_blocks(self.windowed(resample_blocks(branch, rate, heard)), heard, rate)
            for branch, heard in zip(branches, self.rates_heard, strict=True)
        ]
        return map(mean_of, align_blocks(estimates))

    def windowed(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Separate a stream at the sample rate of the network, averaged over all shifts.

        Args:
            blocks: `(channels, time)`.

        Yields:
            `(targets, channels, time)`.
        """
        branches = branch_blocks(extend_blocks(blocks, self.padding), len(self.delays))
        shifted = [
            skip_samples(
                overlap_add(
                    self.estimate_windows,
                    delay_blocks(branch, length),
                    self.windows,
                    self.batch_size,
                ),
                length,
            )
            for branch, length in zip(branches, self.delays, strict=True)
        ]
        return map(mean_of, align_blocks(shifted))

    def estimate_windows(self, windows: Tensor) -> Tensor:
        """Separate windows with any number of channels.

        Args:
            windows: `(batch, channels, time)`.

        Returns:
            `(batch, targets, channels, time)`.
        """
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            if windows.shape[1] != self.channels:
                return self.estimate_each(windows)
            estimate = self.estimate(windows)
            return (estimate + self.estimate_mid_side(windows)) / 2 if self.mid_side else estimate

    def estimate_each(self, windows: Tensor) -> Tensor:
        """Separate every channel alone; each channel of the network hears a copy of it."""
        copies = (channel.expand(-1, self.channels, -1) for channel in windows.split(1, 1))
        return torch.stack([self.estimate(x).mean(-2) for x in copies], dim=2)

    def estimate_mid_side(self, windows: Tensor) -> Tensor:
        """Separate the middle and the side of stereo windows alone."""
        left, right = windows.unbind(1)
        heard = torch.stack([(left + right) / 2, (left - right) / 2], 1)
        middle, side = self.estimate_each(heard).unbind(2)
        return torch.stack([middle + side, middle - side], 2)

    def estimate(self, windows: Tensor) -> Tensor:
        """Separate windows with the channels of the network, and filter the estimates."""
        separation = self.separate_chunk(windows)
        if not self.wiener_steps:
            return separation.estimate
        spectra = refine_blocks(
            separation.mask,
            separation.spectrogram,
            self.frame_multiple,
            self.wiener_steps,
            self.wiener_residual,
        )
        return self.stft.inverse(spectra, windows.shape[-1])


def mean_of(parts: Sequence[Tensor]) -> Tensor:
    """Mean of tensors of one shape; a single one is not copied."""
    if len(parts) == 1:
        return parts[0]
    return torch.as_tensor(sum(parts)) / len(parts)
