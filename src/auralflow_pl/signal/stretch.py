"""Time stretching and pitch shifting."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft
from torch import Tensor
from torch.nn.functional import pad

WINDOW_SAMPLES = (
    2048  # samples; not less than the longest period of pitched sound, and less than a beat
)

LARGEST_DENOMINATOR = 60  # of a ratio of resampling
SEARCH_SAMPLES = 512  # largest shift of a segment that is matched to the segment before


def shift_pitch(audio: Tensor, pitch: float, tempo: float) -> Tensor:
    """Change pitch and tempo of `(batch, channels, time)`.

    Args:
        audio: `(batch, channels, time)`, on the CPU.
        pitch: factor of all frequencies.
        tempo: factor of the speed.

    Returns:
        `(batch, channels, round(time / tempo))`.
    """
    ratio = rounded_speed(pitch)
    length = round(audio.shape[-1] / tempo)
    stretched = stretch_time(audio, tempo / float(ratio))
    shifted = change_speed(stretched, float(ratio))
    return pad(shifted, (0, length - shifted.shape[-1]))


def change_speed(audio: Tensor, speed: float) -> Tensor:
    """Play `(..., time)` faster by a factor; its frequencies are multiplied by the same.

    The factor is rounded to a fraction with terms of about 60 at most: the cost of resampling
    grows with both.

    Returns:
        `(..., ceil(time / speed))`.
    """
    from torchaudio.functional import resample

    ratio = rounded_speed(speed)
    return resample(audio, ratio.numerator, ratio.denominator)


def rounded_speed(speed: float) -> Fraction:
    """The factor that `change_speed` applies; it may be larger than the one that was given."""
    return Fraction(speed).limit_denominator(LARGEST_DENOMINATOR)


def stretch_time(audio: Tensor, rate: float) -> Tensor:
    """Change the speed of `(batch, channels, time)` by the factor `rate` at the same pitch.

    Waveform-similarity overlap-add (WSOLA; Verhelst and Roelands, 1993): segments are read from
    the input at `rate` times the pace at which they are written. Each is shifted to the place
    where it is most similar to the continuation of the segment before. The channels of an item
    share the shifts, which keeps the stereo image.

    Returns:
        `(batch, channels, round(time / rate))`.
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
    starts = np.full(len(sound), SEARCH_SAMPLES)  # the first hop of the output is then the padding
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
    """Cut `length` samples from each item of `(batch, channels, time)`, from `starts[item]` on."""
    return np.stack(
        [item[:, start : start + length] for item, start in zip(sound, starts, strict=True)]
    )


def best_offsets(sound: np.ndarray, first: int, expected: np.ndarray) -> np.ndarray:
    """Offset after `first` at which each item best matches `expected`, 0 to `2 * SEARCH_SAMPLES`.

    The offset with the highest normalised cross-correlation; the middle one if none is clearly
    better.
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
