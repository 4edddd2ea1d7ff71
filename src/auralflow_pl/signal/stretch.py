"""Changing the duration of sound, and its pitch."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft
from torch import Tensor
from torch.nn.functional import pad

WINDOW_SAMPLES = (
    2048  # samples; about the longest period of pitched sound, and short against a beat
)

SEARCH_SAMPLES = 512  # samples by which a segment may move to fit the one before it


def shift_pitch(audio: Tensor, pitch: float, tempo: float) -> Tensor:
    """Change pitch and tempo of `(batch, channels, time)`; `round(time / tempo)` samples.

    Args:
        audio: of any length.
        pitch: factor on all frequencies.
        tempo: factor on the speed.
    """
    from torchaudio.functional import resample

    ratio = Fraction(pitch).limit_denominator(60)  # of resampling: its cost grows with the terms
    length = round(audio.shape[-1] / tempo)
    stretched = stretch_time(audio, tempo / float(ratio))
    shifted = resample(stretched, ratio.numerator, ratio.denominator)
    return pad(shifted, (0, length - shifted.shape[-1]))


def stretch_time(audio: Tensor, rate: float) -> Tensor:
    """Play `(batch, channels, time)` `rate` times as fast at the same pitch, `round(time / rate)`.

    Waveform-similarity overlap-add (WSOLA; Verhelst and Roelands, 1993): segments are taken from
    the input at another pace than they are laid down, each moved to where it resembles most what
    would have followed the one before. Channels move together, so the stereo image stays.
    """
    time, length = audio.shape[-1], round(audio.shape[-1] / rate)
    hop = WINDOW_SAMPLES // 2
    count = length // hop + 2
    margin = hop + SEARCH_SAMPLES
    last = round(max(rate, 1.0) * count * hop)
    sound = np.pad(
        audio.numpy(), ((0, 0), (0, 0), (margin, last + WINDOW_SAMPLES + 2 * margin - time))
    )
    taper = np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(sound.dtype)
    output = np.zeros((*audio.shape[:-1], (count + 1) * hop), sound.dtype)
    starts = np.full(
        len(sound), SEARCH_SAMPLES
    )  # so that the first hop of the output is the padding
    for number in range(count):
        if number:
            expected = cut_segments(sound, starts + hop, WINDOW_SAMPLES)
            first = round(number * hop * rate)
            starts = first + best_offsets(sound, first, expected)
        output[..., number * hop : number * hop + WINDOW_SAMPLES] += taper * cut_segments(
            sound, starts, WINDOW_SAMPLES
        )
    return torch.from_numpy(output[..., hop : hop + length])


def cut_segments(sound: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """A part of each item of `(batch, channels, time)` from a start of its own."""
    return np.stack(
        [item[:, start : start + length] for item, start in zip(sound, starts, strict=True)]
    )


def best_offsets(sound: np.ndarray, first: int, expected: np.ndarray) -> np.ndarray:
    """Where, from `first` to `first + 2 * SEARCH`, each item is most like `expected`.

    By the highest normalised cross-correlation; in the middle, if nothing is better than that.
    """
    region = sound[..., first : first + WINDOW_SAMPLES + 2 * SEARCH_SAMPLES]
    points = next_fast_len(region.shape[-1], real=True)
    product = (rfft(region, points) * rfft(expected, points).conj()).sum(1)
    correlation = irfft(product, points)[:, : 2 * SEARCH_SAMPLES + 1]
    energy = np.cumsum(np.pad(np.square(region).sum(1), ((0, 0), (1, 0))), -1, np.float64)
    likeness = correlation / np.sqrt(
        energy[:, WINDOW_SAMPLES:] - energy[:, :-WINDOW_SAMPLES] + 1e-6
    )
    likeness[:, SEARCH_SAMPLES] += 1e-4 * np.abs(likeness).max(-1)
    return likeness.argmax(-1)
