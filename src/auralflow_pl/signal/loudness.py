"""Integrated loudness after ITU-R BS.1770-4, measured block by block."""

from __future__ import annotations

import math
from array import array

import numpy as np
import torch
from torch import Tensor

from auralflow_pl.signal.streams import SampleQueue

ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0  # LUFS, LU

STEPS_PER_BLOCK = 4  # a block of 400 ms begins every 100 ms

SURROUND_WEIGHT = 10**0.15  # energy weight of the surround channels, +1.5 dB

CHANNEL_WEIGHTS = {
    5: (1, 1, 1, SURROUND_WEIGHT, SURROUND_WEIGHT),
    6: (1, 1, 1, 0, SURROUND_WEIGHT, SURROUND_WEIGHT),
}


class LoudnessMeter:
    """Integrated loudness (ITU-R BS.1770-4) of a signal that arrives in blocks of any length.

    The meter stores one number per 100 ms. K-weighting is applied to spectra of 100 ms. Their
    windows overlap by 10 ms or more with sine fades, so the squared windows add up to 1. This
    takes a fraction of the time of filtering the samples, and differs from it by some hundredths
    of a decibel.

    Args:
        sample_rate: in Hz.
        channels: number of channels: 5 are L R C Ls Rs, 6 are L R C LFE Ls Rs; otherwise all
            channels have the same weight.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.step = max(1, round(sample_rate / 10))
        self.size = fast_length(self.step + self.step // 10)
        fade = self.size - self.step
        power = k_response(k_weighting(sample_rate), self.size)
        power[1 : (self.size + 1) // 2] *= 2  # bins of a positive and a negative frequency
        per_bin = torch.from_numpy(power / (self.size * self.step)).float()
        self.power = per_bin.repeat_interleave(2)  # for real and imaginary parts
        rise = torch.sin(torch.pi / 2 * (torch.arange(fade) + 0.5) / max(1, fade))
        self.window = torch.cat([rise, torch.ones(self.step - fade), rise.flip(0)])
        self.weights = torch.tensor(CHANNEL_WEIGHTS.get(channels, (1.0,) * channels))
        self.energies = array("d")  # mean square of every 100 ms, weighted sum over channels
        self.queue = SampleQueue()
        self.queue.push(torch.zeros(channels, fade))

    def push(self, samples: Tensor) -> None:
        """Add the next samples, `(channels, time)`."""
        self.queue.push(samples.float())
        steps = (len(self.queue) - self.size) // self.step + 1
        if steps > 0:
            length = (steps - 1) * self.step + self.size
            spans = self.queue.read(length).unfold(-1, self.size, self.step)
            parts = torch.view_as_real(torch.fft.rfft(self.window * spans)).flatten(-2)
            self.energies.extend((self.weights @ (parts.square() @ self.power)).tolist())
            self.queue.drop(steps * self.step)

    def integrated(self) -> float | None:
        """Integrated loudness in LUFS; None for silence, and for less than 400 ms."""
        energies = torch.tensor(self.energies, dtype=torch.float64)
        if len(energies) < STEPS_PER_BLOCK:
            return None
        blocks = energies.unfold(0, STEPS_PER_BLOCK, 1).mean(-1)
        loud = blocks[blocks > block_energy(ABSOLUTE_GATE)]
        if not len(loud):
            return None
        gate = block_energy(loudness(float(loud.mean())) + RELATIVE_GATE)
        return loudness(float(loud[loud > gate].mean()))


def fast_length(least: int) -> int:
    """Smallest length `m 2^k` of at least `least`, with `m` from 4 to 7; fast for FFTs."""
    power = 2 ** max(0, least.bit_length() - 3)
    return -(-least // power) * power


def loudness(energy: float) -> float:
    """Loudness in LUFS of a weighted mean square."""
    return -0.691 + 10 * math.log10(energy)


def block_energy(loudness: float) -> float:
    """Weighted mean square of a loudness in LUFS; inverse of `loudness`."""
    return 10 ** ((loudness + 0.691) / 10)


def k_weighting(sample_rate: int) -> np.ndarray:
    """The two filters of BS.1770 as second-order sections `(2, 6)`, by the bilinear transform.

    The analogue prototypes are those of the coefficients that the standard gives for 48 kHz (De
    Man, Evaluation of Implementations of the EBU R128 Loudness Measurement, 2014).
    """
    high = 10 ** (3.999843853973347 / 20)  # gain of the shelf
    band = high**0.4996667741545416
    k, q = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196
    a0 = 1 + k / q + k * k
    shelf = [
        (high + band * k / q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - band * k / q + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    ]
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    return np.array([shelf, high_pass])


def k_response(sections: np.ndarray, size: int) -> np.ndarray:
    """Power response of second-order sections at the `size // 2 + 1` frequencies of `rfft`."""
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    total = np.ones(size // 2 + 1)
    for b0, b1, b2, a0, a1, a2 in sections:  # no matrix product: BLAS threads would spin
        total *= np.abs((b0 + delay * (b1 + delay * b2)) / (a0 + delay * (a1 + delay * a2))) ** 2
    return total
