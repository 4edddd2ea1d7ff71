"""Augmentations of the levels of stems."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor

from auralflow_pl.checks.values import positive, within
from auralflow_pl.data.augment.base import Augmentation, choose_value
from auralflow_pl.errors import InputError
from auralflow_pl.signal.loudness import LoudnessMeter


class Gain(Augmentation):
    """Scale every stem by a random gain.

    Args:
        range_db: gains in dB are uniform between `-range_db` and `range_db`.
    """

    def __init__(self, range_db: float = 6.0) -> None:
        self.range_db = within("augment.gain.range_db", range_db, 0, 60, "dB")

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Scale the stems."""
        levels = torch.from_numpy(rng.uniform(-self.range_db, self.range_db, len(stems)))
        return stems * (10 ** (levels / 20)).to(stems.dtype).reshape(-1, 1, 1)


class GainCurve(Augmentation):
    """Fade random stems up and down: a gain in dB on straight lines between random values.

    Args:
        sample_rate: sample rate of the audio in Hz.
        probability: probability for each stem.
        range_db: gains in dB are uniform between `-range_db` and `range_db`.
        seconds: time from one value to the next.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        sample_rate: int,
        probability: float = 0.3,
        range_db: float = 6.0,
        seconds: float = 1.0,
    ) -> None:
        self.probability = within("augment.gain_curve.probability", probability, 0, 1)
        self.range_db = within("augment.gain_curve.range_db", range_db, 0, 60, "dB")
        self.step = sample_rate * positive("augment.gain_curve.seconds", seconds, "seconds")

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Multiply random stems by their curves."""
        time = np.arange(stems.shape[-1]) / self.step
        knots = np.arange(int(time[-1]) + 2)
        levels = rng.uniform(-self.range_db, self.range_db, (len(stems), len(knots)))
        curves = np.stack([10 ** (np.interp(time, knots, level) / 20) for level in levels])
        curved = stems * torch.from_numpy(curves).to(stems.dtype).unsqueeze(1)
        return torch.where(choose_value(stems, self.probability, rng), curved, stems)


class Loudness(Augmentation):
    """Give every stem a random loudness, whatever that of its song was (ITU-R BS.1770-4).

    Stems that are quieter than the gate of the standard (-70 LUFS), and chunks of less than 0.4 s,
    keep their level.

    Args:
        sample_rate: sample rate of the audio in Hz.
        low: lowest loudness in LUFS; it is uniform between `low` and `high`.
        high: highest loudness in LUFS.
        most_db: largest gain in dB, so that what is left of a faded sound is not raised.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self, sample_rate: int, low: float = -32.0, high: float = -18.0, most_db: float = 20.0
    ) -> None:
        if not -70 <= low <= high <= 0:
            raise InputError(
                f"augment.loudness.low={low}, high={high}: expected -70 <= low <= high <= 0 (LUFS)"
            )
        self.sample_rate, self.low, self.high = sample_rate, low, high
        self.most_db = within("augment.loudness.most_db", most_db, 0, 60, "dB")

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Scale every stem to its loudness."""
        wanted = rng.uniform(self.low, self.high, len(stems))
        gains = [self.gain(stem, level) for stem, level in zip(stems, wanted, strict=True)]
        return stems * torch.tensor(gains, dtype=stems.dtype).reshape(-1, 1, 1)

    def gain(self, stem: Tensor, wanted: float) -> float:
        """Factor by which a stem `(channels, time)` gets a loudness in LUFS."""
        meter = LoudnessMeter(self.sample_rate, len(stem))
        meter.push(stem)
        found = meter.integrated()
        return 1.0 if found is None else 10 ** (min(wanted - found, self.most_db) / 20)


class Compressor(Augmentation):
    """Compress the levels of random stems, as mixing does to voices; their RMS level stays.

    Above the threshold, a level that rises by `ratio` dB comes out 1 dB louder (Giannoulis et al.,
    2012). The level is the power of all channels, smoothed with a time constant.

    Args:
        sample_rate: sample rate of the audio in Hz.
        probability: probability for each stem.
        ratio: largest ratio; ratios are uniform from 1.
        depth_db: largest distance of the threshold below the RMS level of the stem in dB; the
            distance is uniform from 0.
        seconds: time constant of the level.

    Raises:
        InputError: an argument out of range.
    """

    STEP = 64  # samples from one computed gain to the next

    def __init__(
        self,
        sample_rate: int,
        probability: float = 0.3,
        ratio: float = 4.0,
        depth_db: float = 12.0,
        seconds: float = 0.05,
    ) -> None:
        self.probability = within("augment.compressor.probability", probability, 0, 1)
        self.ratio = within("augment.compressor.ratio", ratio, 1, 100)
        self.depth_db = within("augment.compressor.depth_db", depth_db, 0, 60, "dB")
        seconds = positive("augment.compressor.seconds", seconds, "seconds")
        self.decay = float(np.exp(-self.STEP / (seconds * sample_rate)))

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Compress random stems."""
        ratios = rng.uniform(1, self.ratio, len(stems))
        depths = rng.uniform(0, self.depth_db, len(stems))
        changed = stems.clone()
        chosen = rng.random(len(stems)) < self.probability
        for number in np.flatnonzero(chosen):
            changed[number] = self.compress(stems[number], ratios[number], depths[number])
        return changed

    def compress(self, stem: Tensor, ratio: float, depth_db: float) -> Tensor:
        """Compress a stem `(channels, time)`."""
        power = stem.square().mean(0)
        whole = float(power.mean())
        if whole == 0:
            return stem
        blocks = torch.nn.functional.avg_pool1d(power[None], self.STEP, ceil_mode=True)[0].numpy()
        start = [self.decay * blocks[0]]
        smooth, _ = lfilter([1 - self.decay], [1, -self.decay], blocks, zi=start)
        above = np.maximum(0, 10 * np.log10(smooth / whole + 1e-12) + depth_db)
        centres = (np.arange(len(blocks)) + 0.5) * self.STEP
        decibels = np.interp(np.arange(len(power)), centres, above * (1 / ratio - 1))
        changed = stem * torch.from_numpy(10 ** (decibels / 20)).to(stem.dtype)
        return changed * (whole / changed.square().mean().clamp(min=1e-30)).sqrt()
