"""Augmentations of the mixture: what mastering and lossy codecs do to the songs of listeners.

The stems, which are the targets, do not change. A network then learns to undo the damage too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from torch import Tensor

from auralflow_pl.audio.lossy import LOSSY_CODECS, through_codec
from auralflow_pl.checks.values import one_of, positive, within
from auralflow_pl.data.augment.base import Augmentation
from auralflow_pl.errors import InputError


def draw_threshold(
    mixture: Tensor, probability: float, depth_db: float, rng: np.random.Generator
) -> float:
    """Draw a threshold up to `depth_db` below the peak; 0: the mixture is not changed."""
    on, depth = rng.random() < probability, rng.uniform(0, depth_db)
    return float(mixture.abs().amax()) * 10 ** (-depth / 20) if on else 0.0


class SoftClip(Augmentation):
    """Distort random mixtures as an overdriven stage: `t tanh(x / t)` with a random threshold `t`.

    Args:
        probability: probability for each mixture.
        depth_db: largest distance of the threshold below the peak of the mixture in dB; the
            distance is uniform from 0.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(self, probability: float = 0.1, depth_db: float = 6.0) -> None:
        self.probability = within("augment.soft_clip.probability", probability, 0, 1)
        self.depth_db = within("augment.soft_clip.depth_db", depth_db, 0, 40, "dB")

    def change_mixture(self, mixture: Tensor, rng: np.random.Generator) -> Tensor:
        """Distort the mixture, with `probability`."""
        threshold = draw_threshold(mixture, self.probability, self.depth_db, rng)
        return threshold * torch.tanh(mixture / threshold) if threshold else mixture


class Limiter(Augmentation):
    """Limit the peaks of random mixtures, as mastering for loudness does.

    The gain looks ahead and is the same for all channels. It falls and rises within
    `window_seconds`, so no sample exceeds the threshold. The level of quiet parts stays.

    Args:
        sample_rate: sample rate of the audio in Hz.
        probability: probability for each mixture.
        depth_db: largest distance of the threshold below the peak of the mixture in dB; the
            distance is uniform from 0.
        window_seconds: time in which the gain falls before a peak, and rises after it.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        sample_rate: int,
        probability: float = 0.2,
        depth_db: float = 9.0,
        window_seconds: float = 0.01,
    ) -> None:
        self.probability = within("augment.limiter.probability", probability, 0, 1)
        self.depth_db = within("augment.limiter.depth_db", depth_db, 0, 40, "dB")
        seconds = positive("augment.limiter.window_seconds", window_seconds, "seconds")
        self.reach_frames = max(1, round(seconds * sample_rate))

    def change_mixture(self, mixture: Tensor, rng: np.random.Generator) -> Tensor:
        """Limit the mixture, with `probability`."""
        threshold = draw_threshold(mixture, self.probability, self.depth_db, rng)
        return mixture * self.gains(mixture.abs().amax(0), threshold) if threshold else mixture

    def gains(self, peaks: Tensor, threshold: float) -> Tensor:
        """Smooth gains `(time,)` with which peaks `(time,)` stay below the threshold.

        The least gain that is needed within the reach is averaged over the reach, so every average
        is of values that suffice for its own sample.
        """
        size = 2 * self.reach_frames + 1
        needed = (threshold / peaks.clamp(min=threshold)).numpy()
        least = minimum_filter1d(needed, size, mode="nearest")
        return torch.from_numpy(uniform_filter1d(least, size, mode="nearest"))


class Codec(Augmentation):
    """Encode random mixtures with a lossy codec, and decode them again.

    Args:
        sample_rate: sample rate of the audio in Hz.
        probability: probability for each mixture.
        codecs: names of codecs, of which each is equally likely: mp3, aac, opus.
        low_kbps: lowest bit rate in kbit/s of both channels; rates are uniform on a logarithmic
            axis. Mono mixtures get half.
        high_kbps: highest bit rate in kbit/s.

    Raises:
        InputError: an argument out of range, or an unknown codec.
    """

    def __init__(
        self,
        sample_rate: int,
        probability: float = 0.2,
        codecs: Sequence[str] = ("mp3", "aac", "opus"),
        low_kbps: int = 64,
        high_kbps: int = 256,
    ) -> None:
        self.probability = within("augment.codec.probability", probability, 0, 1)
        if isinstance(codecs, str) or not codecs:
            raise InputError(f"augment.codec.codecs={codecs!r}: expected a list, as in [mp3,opus]")
        for name in codecs:
            one_of("augment.codec.codecs", name, LOSSY_CODECS)
        if not 32 <= low_kbps <= high_kbps <= 320:
            raise InputError(
                f"augment.codec.low_kbps={low_kbps}, high_kbps={high_kbps}: expected "
                "32 <= low_kbps <= high_kbps <= 320"
            )
        self.sample_rate, self.codecs = sample_rate, tuple(codecs)
        self.low_kbps, self.high_kbps = low_kbps, high_kbps

    def change_mixture(self, mixture: Tensor, rng: np.random.Generator) -> Tensor:
        """Encode and decode the mixture, with `probability`."""
        on, number = rng.random() < self.probability, int(rng.integers(len(self.codecs)))
        kbps = self.low_kbps * (self.high_kbps / self.low_kbps) ** rng.random()
        if not on:
            return mixture
        share = min(2, len(mixture)) / 2
        return through_codec(mixture, self.sample_rate, self.codecs[number], round(kbps * share))
