"""Magnitudes of spectrograms in pieces of bounded size, and mel bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

BINS = 2**20  # bins of one signal in a piece
GROUPS = 16  # groups of mel bands; each is multiplied only with the bins that it covers

HZ_PER_MEL = 200 / 3  # up to `CORNER_HZ`; logarithmic above it
CORNER_HZ = 1000.0
LOG_STEP = math.log(6.4) / 27


class Transform(NamedTuple):
    """Sizes of a short-time Fourier transform in samples; frame `k` is centred at `k * hop`.

    A signal is extended by zeros, or mirrored at its ends if it is longer than half a transform.
    """

    n_fft: int
    hop_length: int
    win_length: int  # a periodic Hann window; 0: no window
    mirrored: bool = True

    def frames(self, time: int) -> int:
        """Number of frames of a signal of `time` samples."""
        return 1 + time // self.hop_length

    def magnitude(self, audio: Tensor, start: int, stop: int) -> Tensor:
        """Magnitudes `(..., freq, frames)` of frames `start` to `stop` of `(..., time)`."""
        *batch, time = audio.shape
        half, hop = self.n_fft // 2, self.hop_length
        index = torch.arange(start * hop, (stop - 1) * hop + self.n_fft, device=audio.device) - half
        if self.mirrored and time > half:
            part = audio[..., time - 1 - (time - 1 - index.abs()).abs()]
        else:
            part = audio[..., index.clamp(0, time - 1)] * ((index >= 0) & (index < time))
        part = part if part.dtype == torch.float64 else part.float()
        window = (torch.hann_window if self.win_length else torch.ones)(
            self.win_length or self.n_fft, dtype=part.dtype, device=part.device
        )
        spec = torch.stft(
            part.reshape(-1, part.shape[-1]),
            self.n_fft,
            hop,
            len(window),
            window,
            center=False,
            return_complex=True,
        )
        return spec.abs().reshape(*batch, *spec.shape[-2:])

    def pieces(self, *signals: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Magnitudes of all signals, each `(..., time)`, some frames at a time."""
        *batch, time = signals[0].shape
        frames = self.frames(time)
        size = max(1, BINS // (math.prod(batch) * (self.n_fft // 2 + 1)))
        for start in range(0, frames, size):
            stop = min(start + size, frames)
            yield tuple(self.magnitude(signal, start, stop) for signal in signals)


def by_items(
    function: Callable[[Tensor, Tensor], Tensor],
    estimate: Tensor,
    target: Tensor,
    transform: Transform,
) -> Tensor:
    """Apply a function of `(items, channels, time)`, some items at a time, to `(..., time)`.

    The function returns `(items, ...)`; the result has the leading axes of the signals, without
    channels and time.
    """
    *batch, channels, time = target.shape
    size = max(1, BINS // (channels * transform.frames(time) * (transform.n_fft // 2 + 1)))
    parts = (x.reshape(-1, channels, time).split(size) for x in (estimate, target))
    with torch.autocast(target.device.type, enabled=False):
        found = torch.cat([function(e, t) for e, t in zip(*parts, strict=True)])
    return found.reshape(torch.Size(batch) + found.shape[1:])


@lru_cache(maxsize=8)
def mel_bands(sample_rate: int, n_fft: int, bands: int) -> Tensor:
    """Triangular filters `(bands, freq)` of equal area on Slaney's mel scale, up to half the rate.

    The filters of `librosa.filters.mel` with its defaults, in float64; cached.
    """
    corner = CORNER_HZ / HZ_PER_MEL
    top = sample_rate / 2
    highest = top / HZ_PER_MEL if top < CORNER_HZ else corner + math.log(top / CORNER_HZ) / LOG_STEP
    mels = torch.linspace(0, highest, bands + 2, dtype=torch.float64)
    bent = CORNER_HZ * torch.exp(LOG_STEP * (mels - corner))
    edges = torch.where(mels < corner, mels * HZ_PER_MEL, bent)
    low, middle, high = (edges[i : i + bands, None] for i in range(3))
    freq = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    rising, falling = (freq - low) / (middle - low), (high - freq) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0) * 2 / (high - low)


def mel_magnitude(magnitude: Tensor, sample_rate: int, bands: int) -> Tensor:
    """Mel bands `(..., bands, frames)` of magnitudes `(..., freq, frames)`."""
    n_fft = 2 * (magnitude.shape[-2] - 1)
    parts = []
    for group in mel_bands(sample_rate, n_fft, bands).chunk(GROUPS):
        used = group.any(0).nonzero()
        low, high = (int(used.min()), int(used.max()) + 1) if len(used) else (0, 1)
        parts.append(group[:, low:high].to(magnitude) @ magnitude[..., low:high, :])
    return torch.cat(parts, -2)
