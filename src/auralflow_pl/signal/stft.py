"""Short-time Fourier transform and its exact inverse."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError

PAD_MODES = ("zeros", "reflect")

BLOCK_FRAMES = 64  # frames per block on a CPU, about the size of its cache


def magnitude(spec: Tensor) -> Tensor:
    """Absolute values of a complex spectrogram, contiguous, in less time than `abs` on a CPU.

    With gradients it is `abs`, whose gradient at 0 is 0.
    """
    if spec.requires_grad:
        return spec.abs()
    found = torch.empty(spec.shape, dtype=spec.real.dtype, device=spec.device)
    for part, place in zip(frame_blocks(spec), frame_blocks(found), strict=True):
        place.copy_(part.real.square().addcmul_(part.imag, part.imag).sqrt_())
    return found


def frame_blocks(frames: Tensor) -> tuple[Tensor, ...]:
    """Parts along the last axis that fit a CPU cache; elsewhere the whole."""
    return frames.split(BLOCK_FRAMES if frames.device.type == "cpu" else frames.shape[-1], -1)


def masked_blocks(spec: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
    """Yield a spectrogram `(..., freq, frames)` times a mask, in blocks that fit a CPU cache."""
    parts = frame_blocks(spec)
    if mask is None:
        yield from parts
    else:
        yield from (x * y for x, y in zip(parts, frame_blocks(mask), strict=True))


class STFT(nn.Module):
    """Short-time Fourier transform with a periodic Hann window, and its inverse.

    The signal is extended by half a transform before its start, and after its end to a whole number
    of hops and half a transform more. Every sample then lies under at least two windows, and
    `inverse(forward(x), length)` returns `x` up to rounding.

    Args:
        n_fft: points of the transform, even.
        win_length: length of the window in samples, at most `n_fft`.
        hop_length: samples from one frame to the next, at most half a window.
        pad_mode: what extends the signal: `zeros`, or `reflect`, the signal mirrored at its ends as
            in open-unmix. A signal that is shorter than its extension gets zeros.

    Raises:
        InputError: sizes for which the transform has no inverse, or another `pad_mode`.
    """

    window: Tensor

    def __init__(
        self,
        n_fft: int = 1024,
        win_length: int = 1024,
        hop_length: int = 512,
        pad_mode: str = "zeros",
    ) -> None:
        super().__init__()
        if not 0 < 2 * hop_length <= win_length <= n_fft or n_fft % 2:
            raise InputError(
                f"stft: n_fft={n_fft}, win_length={win_length}, hop_length={hop_length}: expected "
                "an even n_fft and 2 * hop_length <= win_length <= n_fft"
            )
        self.n_fft, self.win_length, self.hop_length = n_fft, win_length, hop_length
        self.pad_mode = one_of("stft.pad_mode", pad_mode, PAD_MODES)
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Transform a waveform `(..., time)` to a complex spectrogram `(..., freq, frames)`.

        `freq = n_fft // 2 + 1` and `frames = ceil(time / hop_length) + 1`; frame `k` is centred at
        sample `k * hop_length`. Computed in float32 or float64, also under autocast.
        """
        *batch, time = audio.shape
        spec = self.frames_of(self.extended(audio.reshape(-1, time)))
        return spec.reshape(*batch, *spec.shape[-2:])

    def frames_of(self, audio: Tensor) -> Tensor:
        """Transform `(..., time)` without an extension: frame `k` begins at `k * hop_length`."""
        *batch, time = audio.shape
        audio = audio if audio.dtype == torch.float64 else audio.float()
        with torch.autocast(audio.device.type, enabled=False):
            if audio.device.type == "cpu" and not audio.requires_grad:
                spec = self.transformed_in_blocks(audio.reshape(-1, time))
            else:
                spec = torch.stft(
                    audio.reshape(-1, time),
                    self.n_fft,
                    self.hop_length,
                    self.win_length,
                    window=self.window.to(audio.dtype),
                    center=False,
                    return_complex=True,
                )
        return spec.reshape(*batch, *spec.shape[-2:])

    def transformed_in_blocks(self, audio: Tensor) -> Tensor:
        """`torch.stft` of `(batch, time)`, in blocks that fit a CPU cache; bit-identical."""
        window = self.padded_window(audio.dtype)
        frames = audio.unfold(-1, self.n_fft, self.hop_length)
        spec = audio.new_empty(
            *frames.shape[:-1], self.n_fft // 2 + 1, dtype=window.dtype.to_complex()
        )
        size = max(1, 2 * BLOCK_FRAMES // len(audio))
        for part, place in zip(frames.split(size, 1), spec.split(size, 1), strict=True):
            place.copy_(torch.fft.rfft(part * window))
        return spec.transpose(-1, -2)

    def padded_window(self, dtype: torch.dtype) -> Tensor:
        """The window with zeros on both sides, `(n_fft,)`."""
        spare = self.n_fft - self.win_length
        return F.pad(self.window.to(dtype), (spare // 2, spare - spare // 2))

    def extended(self, audio: Tensor) -> Tensor:
        """Extend waveforms `(batch, time)` at both ends, so that frames can be centred on all."""
        time = audio.shape[-1]
        before = self.n_fft // 2
        after = before + -time % self.hop_length
        mirrored = self.pad_mode == "reflect" and time > after
        return F.pad(audio, (before, after), mode="reflect" if mirrored else "constant")

    def inverse(self, spec: Tensor, length: int, mask: Tensor | None = None) -> Tensor:
        """Transform a complex spectrogram `(..., freq, frames)` to a waveform `(..., length)`.

        Args:
            spec: as `forward` returns it.
            length: length of the waveform in samples.
            mask: real or complex factor of the spectrogram, with as many frames; None: 1.
        """
        with torch.autocast(spec.device.type, enabled=False):
            if self.n_fft % self.hop_length:
                return self.inverse_of_any(spec if mask is None else spec * mask, length)
            weight = self.weight(spec.shape[-1], spec.real.dtype)
            parts: list[Tensor] = []
            start, first, end = 0, self.n_fft // 2, self.n_fft // 2 + length
            for total in self.sums(spec, mask):
                stop = start + total.shape[-1]
                begin = max(start, first)
                finish = max(begin, min(stop, end))
                parts.append(total[..., begin - start : finish - start] / weight[begin:finish])
                start = stop
            return torch.cat(parts, -1)

    def sums(self, spec: Tensor, mask: Tensor | None) -> Iterator[Tensor]:
        """Sums `(..., time)` of the windowed frames of a spectrogram times a mask, in order."""
        window = self.padded_window(spec.real.dtype)
        rest: Tensor | None = None
        for part in masked_blocks(spec, mask):
            frames = torch.fft.irfft(part.transpose(-1, -2), self.n_fft).mul_(window)
            total = self.add(frames)
            if rest is not None:
                total[..., : rest.shape[-1]] += rest
            done = frames.shape[-2] * self.hop_length
            yield total[..., :done]
            rest = total[..., done:]
        assert rest is not None  # there is a frame at least
        yield rest

    def weight(self, frames: int, dtype: torch.dtype) -> Tensor:
        """Sum of the squares of the windows over every sample, `(time,)`; hops must divide them."""
        squares = self.padded_window(dtype).square().unflatten(0, (-1, self.hop_length))
        share = len(squares)
        totals = F.pad(squares.cumsum(0), (0, 0, 1, 0))  # of the first hops of a window
        hops = torch.arange(frames + share - 1, device=squares.device)
        last, first = hops.clamp(max=share - 1), (hops - frames + 1).clamp(min=0)
        return (totals[last + 1] - totals[first]).flatten()

    def add(self, frames: Tensor) -> Tensor:
        """Overlap-add frames `(..., frames, n_fft)` to `(..., time)`; hops must divide frames.

        The sum takes `n_fft / hop_length` additions of large arrays.
        """
        hops = frames.unflatten(-1, (-1, self.hop_length))
        count, share = hops.shape[-3], hops.shape[-2]
        total = hops.new_zeros(*hops.shape[:-3], count + share - 1, self.hop_length)
        for number in range(share):
            total[..., number : number + count, :] += hops[..., number, :]
        return total.flatten(-2)

    def inverse_of_any(self, spec: Tensor, length: int) -> Tensor:
        """`inverse` for hop lengths that do not divide `n_fft`."""
        *batch, freq, frames = spec.shape
        audio = torch.istft(
            spec.reshape(-1, freq, frames),
            self.n_fft,
            self.hop_length,
            self.win_length,
            window=self.window.to(spec.real.dtype),
            center=True,
            length=length,
        )
        return audio.reshape(*batch, length)
