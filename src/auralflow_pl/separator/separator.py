"""The Separator: audio to audio, for signals of any length."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import tee
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from auralflow_pl.errors import Cancelled, InputError
from auralflow_pl.losses.base import Separation
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.input import AudioArray, CheckedBlocks, as_float_tensor, whole_rate
from auralflow_pl.separator.precision import autocast_dtype
from auralflow_pl.signal.resampling import resample_blocks
from auralflow_pl.signal.stft import STFT, magnitude
from auralflow_pl.signal.streams import align_blocks, delay_blocks, skip_samples
from auralflow_pl.signal.windows import WindowLayout, choose_windows, overlap_add

AudioType = TypeVar("AudioType", Tensor, np.ndarray)

ProgressCallback = Callable[[float], bool | None]

LONGEST_SHIFT_SECONDS = 0.5

LONGEST_WINDOW_SECONDS = 600.0  # more only takes memory

MOST_SHIFTS = 100


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
        window_seconds: length of a window, at most 600; None: from what the network sees, see
            `choose_windows`.
        overlap: share of a window that it has in common with the next one, from 0 to 0.5. Two
            fifths of it on either side are context and thrown away, one fifth is a cross-fade.
            None: the context is what the network sees.
        shifts: separate so many times, at most 100, with windows at different places, and take the
            mean.
        seed: of those places.
        batch_size: windows that are separated at a time.
        precision: number format of the network in autocast, `fp32`, `bf16`, `fp16` or what torch
            calls them; None: as it is.

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
        window_seconds: float | None = None,
        overlap: float | None = None,
        shifts: int = 1,
        seed: int = 0,
        batch_size: int = 1,
        precision: str | torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if (
            not (window_seconds is None or 0 < window_seconds <= LONGEST_WINDOW_SECONDS)
            or not (overlap is None or 0 <= overlap <= 0.5)
            or not 1 <= shifts <= MOST_SHIFTS
            or batch_size < 1
        ):
            raise InputError(
                f"window_seconds={window_seconds}, overlap={overlap}, shifts={shifts}, "
                f"batch_size={batch_size}: expected window_seconds > 0 and at most "
                f"{LONGEST_WINDOW_SECONDS:.0f}, overlap from 0 to 0.5, shifts from 1 to "
                f"{MOST_SHIFTS}, batch_size >= 1"
            )
        self.network = network
        self.stft = stft
        self.targets = tuple(targets)
        self.target_stems = (
            dict(targets) if isinstance(targets, Mapping) else {t: (t,) for t in targets}
        )
        self.sample_rate = sample_rate
        self.channels = channels
        self.batch_size = batch_size
        self.precision = autocast_dtype(precision)
        self.windows = choose_windows(
            stft,
            network.frame_multiple,
            network.frame_reach,
            sample_rate,
            window_seconds,
            overlap,
        )
        places = torch.Generator().manual_seed(seed)
        longest = round(LONGEST_SHIFT_SECONDS * sample_rate)
        moved = torch.randint(1, longest + 1, (shifts - 1,), generator=places)
        self.delays = (0, *moved.tolist())

    def shrink(self) -> bool:
        """Take half the memory: smaller batches, then shorter windows; whether that was possible.

        The context of windows stays as long as an eighth of them allows.
        """
        if self.batch_size > 1:
            self.batch_size //= 2
            return True
        windows = self.windows
        length = windows.length // 2 // windows.align * windows.align
        if length < 4 * windows.align:
            return False
        context = min(windows.context, length // 8)
        self.windows = WindowLayout(length, context, min(windows.fade, length // 8), windows.align)
        return True

    def separate_chunk(self, mixture: Tensor, target: Tensor | None = None) -> Separation:
        """One pass over chunks `(batch, channels, time)` at the rate of the network.

        Args:
            mixture: what is separated.
            target: `(batch, targets, channels, time)`, where a loss will ask for it.
        """
        spectrogram = self.stft(mixture)
        with self.autocast(mixture.device.type):
            mask, penalties = self.network(magnitude(spectrogram))
        target = mixture.new_empty(0) if target is None else target
        return Separation(mixture, spectrogram, mask.float(), penalties, self.stft, target)

    def autocast(self, device: str) -> AbstractContextManager[Any]:
        """What `precision` asks for; without it, what surrounds us stays as it is."""
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

        Channels that are as many as the network's are separated together. Otherwise each channel is
        separated by itself, so any number of them comes back as it was.

        Args:
            audio: `(..., channels, time)`, in [-1, 1], a tensor or an array of floats.
            sample_rate: in whole Hz, 4000 to 768000; default: the rate of the network.
            progress: is told the share that is done, from 0 to 1; returns False to stop.

        Returns:
            float32 `(..., targets, channels, time)`, exactly as long, at the rate of the input, an
            array if `audio` is one. Gradients are recorded in training mode only.

        Raises:
            InputError: no samples, no axis of channels, integers, samples that are not finite, or a
                rate out of its range.
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
        """Separate a signal that comes in blocks, in memory that does not grow with its length.

        The estimates are those of the whole signal, whatever the lengths of the blocks. They lag
        behind by about a window.

        Args:
            blocks: `(channels, time)` each, in [-1, 1], tensors or arrays of floats.
            sample_rate: in whole Hz, 4000 to 768000; default: the rate of the network.
            output_rate: of the estimates; default: that of the blocks.

        Yields:
            float32 `(targets, channels, time)`, arrays if the blocks are; together as long as the
            blocks, or `ceil(time * output_rate / sample_rate)`.

        Raises:
            InputError: no samples, no axis of channels, channels that differ, integers, samples
                that are not finite, or a rate out of its range.
        """
        rate = whole_rate("sample_rate", sample_rate, self.sample_rate)
        wanted = whole_rate("output_rate", output_rate, rate)
        signal = CheckedBlocks(blocks, self.training and torch.is_grad_enabled())
        estimates = self.windowed(resample_blocks(signal, rate, self.sample_rate))
        given = 0
        for part in resample_blocks(estimates, self.sample_rate, wanted):
            # Resampled there and back a signal may be longer than it was.
            total = -(-signal.time * wanted // rate) if signal.ended else sys.maxsize
            fitting = part[..., : max(0, total - given)]
            given += part.shape[-1]
            if fitting.shape[-1]:
                yield fitting.numpy() if signal.arrays else fitting

    def windowed(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """A stream `(channels, time)` to `(targets, channels, time)`, at the network's rate."""
        branches = tee(blocks, len(self.delays))
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
        return (torch.as_tensor(sum(parts)) / len(parts) for parts in align_blocks(shifted))

    def estimate_windows(self, windows: Tensor) -> Tensor:
        """`(batch, channels, time)`, any channels, to `(batch, targets, channels, time)`."""
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            if windows.shape[1] == self.channels:
                return self.separate_chunk(windows).estimate
            copies = (channel.expand(-1, self.channels, -1) for channel in windows.split(1, 1))
            return torch.stack([self.separate_chunk(x).estimate.mean(-2) for x in copies], dim=2)
