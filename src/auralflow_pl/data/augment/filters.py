"""Augmentations that filter, shift or turn the stems."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import fftconvolve
from torch import Tensor

from auralflow_pl.checks.values import within
from auralflow_pl.data.augment.base import Augmentation, choose_value
from auralflow_pl.errors import InputError
from auralflow_pl.signal.stretch import change_speed, rounded_speed, shift_pitch


class ChannelSwap(Augmentation):
    """Exchange the left and right channel of random stems; mono stems are not changed.

    Args:
        probability: probability for each stem.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = within("augment.channel_swap.probability", probability, 0, 1)

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Reverse the channels of random stems."""
        swap = choose_value(stems, self.probability, rng)
        return torch.where(swap, stems.flip(1), stems)


class Polarity(Augmentation):
    """Invert the polarity of random stems.

    Args:
        probability: probability for each stem.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = within("augment.polarity.probability", probability, 0, 1)

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Invert random stems."""
        return torch.where(choose_value(stems, self.probability, rng), -stems, stems)


class PitchTempo(Augmentation):
    """Shift pitch and tempo by independent random amounts.

    By default all stems of a chunk are shifted together, which keeps them in tune and in time.
    Chunks of `Remix` may shift each stem separately. A shift also moves the formants of a voice,
    which gives a different voice.

    Args:
        probability: probability for each chunk, or for each stem with `per_stem`.
        semitones: the pitch shift is uniform between -semitones and semitones.
        percent: the change of tempo is uniform between -percent and percent.
        per_stem: shift every stem separately.
    """

    def __init__(
        self,
        probability: float = 0.3,
        semitones: float = 2.0,
        percent: float = 12.0,
        per_stem: bool = False,
    ) -> None:
        self.probability = within("augment.pitch_tempo.probability", probability, 0, 1)
        self.semitones = within("augment.pitch_tempo.semitones", semitones, 0, 12, "semitones")
        self.percent = within("augment.pitch_tempo.percent", percent, 0, 50, "percent")
        self.per_stem = per_stem
        self.reach = 1 + percent / 100
        self.lowest = 2 ** (-semitones / 12)

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Shift pitch and tempo of the stems; a change of tempo changes their length."""
        if not self.per_stem:
            return self.move(stems, rng)
        moved = [self.move(stem, rng) for stem in stems.split(1)]
        shortest = min(stem.shape[-1] for stem in moved)
        return torch.cat([stem[..., :shortest] for stem in moved])

    def move(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Shift stems together, with `probability`."""
        if rng.random() >= self.probability:
            return stems
        pitch = 2 ** (rng.uniform(-self.semitones, self.semitones) / 12)
        tempo = 1 + rng.uniform(-self.percent, self.percent) / 100
        return shift_pitch(stems, pitch, tempo)


class Speed(Augmentation):
    """Play all stems of a chunk faster or slower; pitch and tempo change together.

    So does a network hear a signal with `separation.speeds`.

    Args:
        probability: probability for each chunk.
        slowest: smallest factor of the speed; factors are uniform on a logarithmic axis.
        fastest: largest factor of the speed.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self, probability: float = 0.5, slowest: float = 0.9, fastest: float = 1.2
    ) -> None:
        self.probability = within("augment.speed.probability", probability, 0, 1)
        self.slowest = within("augment.speed.slowest", slowest, 0.5, 2)
        self.fastest = within("augment.speed.fastest", fastest, slowest, 2)
        self.reach = max(1.0, float(rounded_speed(fastest)))  # 1: a chunk that is not changed
        self.lowest = min(1.0, float(rounded_speed(slowest)))

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Resample the stems, which changes their length."""
        if rng.random() >= self.probability:
            return stems
        speed = float(np.exp(rng.uniform(np.log(self.slowest), np.log(self.fastest))))
        return change_speed(stems, speed)


class Equalizer(Augmentation):
    """Boost or cut a frequency band of random stems, with a second-order peaking filter.

    The coefficients are those of Bristow-Johnson's Audio EQ Cookbook.

    Args:
        probability: probability for each stem.
        range_db: gains in dB are uniform between `-range_db` and `range_db`.
        low_hz: lowest centre frequency; centres are uniform on a logarithmic axis.
        high_hz: highest centre frequency.
        q: quality factor of the filter, centre frequency over bandwidth.
        sample_rate: sample rate of the audio in Hz.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        sample_rate: int,
        probability: float = 0.5,
        range_db: float = 6.0,
        low_hz: float = 80.0,
        high_hz: float = 8000.0,
        q: float = 0.7,
    ) -> None:
        self.probability = within("augment.equalizer.probability", probability, 0, 1)
        self.range_db = within("augment.equalizer.range_db", range_db, 0, 40, "dB")
        if not 0 < low_hz <= high_hz < sample_rate / 2:
            raise InputError(
                f"augment.equalizer.low_hz={low_hz}, high_hz={high_hz}: expected "
                f"0 < low_hz <= high_hz < {sample_rate / 2:g} (half of audio.sample_rate)"
            )
        if not q > 0:
            raise InputError(f"augment.equalizer.q={q}: expected more than 0")
        self.sample_rate, self.q = sample_rate, q
        self.low_hz, self.high_hz = low_hz, high_hz

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Filter random stems."""
        chosen = rng.random(len(stems)) < self.probability
        centres = self.low_hz * (self.high_hz / self.low_hz) ** rng.random(len(stems))
        gains = rng.uniform(-self.range_db, self.range_db, len(stems))
        filtered = [
            self.peak(stem, centre, gain) if on else stem
            for stem, on, centre, gain in zip(stems, chosen, centres, gains, strict=True)
        ]
        return torch.stack(filtered)

    def peak(self, stem: Tensor, centre_hz: float, gain_db: float) -> Tensor:
        """Filter one stem `(channels, time)`; unlike torchaudio's peaking filter, do not clip."""
        from torchaudio.functional import lfilter

        omega = 2 * np.pi * centre_hz / self.sample_rate
        width, root = np.sin(omega) / (2 * self.q), 10 ** (gain_db / 40)
        middle = -2 * np.cos(omega)
        zeros = torch.tensor([1 + width * root, middle, 1 - width * root], dtype=stem.dtype)
        poles = torch.tensor([1 + width / root, middle, 1 - width / root], dtype=stem.dtype)
        return lfilter(stem, poles, zeros, clamp=False)


class Reverb(Augmentation):
    """Add reverberation to random stems: exponentially decaying noise (Moorer, 1979) per channel.

    Args:
        probability: probability for each stem.
        decay_seconds: longest reverberation time (decay by 60 dB) in seconds; the shortest is a
            tenth of it.
        wet_db: highest level of the reverberation relative to the stem in dB; the lowest is 20 dB
            less.
        sample_rate: sample rate of the audio in Hz.

    Raises:
        InputError: an argument out of range.
    """

    def __init__(
        self,
        sample_rate: int,
        probability: float = 0.2,
        decay_seconds: float = 1.0,
        wet_db: float = -6.0,
    ) -> None:
        self.probability = within("augment.reverb.probability", probability, 0, 1)
        if not 0 < decay_seconds <= 10:
            raise InputError(
                f"augment.reverb.decay_seconds={decay_seconds}: expected more than 0, at most 10"
            )
        if not -100 <= wet_db <= 20:
            raise InputError(f"augment.reverb.wet_db={wet_db}: expected from -100 to 20 dB")
        self.sample_rate, self.decay_seconds, self.wet_db = sample_rate, decay_seconds, wet_db

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Add reverberation to random stems."""
        chosen = rng.random(len(stems)) < self.probability
        return torch.stack(
            [self.reverberate(s, rng) if on else s for s, on in zip(stems, chosen, strict=True)]
        )

    def reverberate(self, stem: Tensor, rng: np.random.Generator) -> Tensor:
        """Add a random reverberation to one stem `(channels, time)`."""
        decay = self.decay_seconds * 10 ** rng.uniform(-1, 0)
        wet = 10 ** (rng.uniform(self.wet_db - 20, self.wet_db) / 20)
        time = np.arange(max(1, round(decay * self.sample_rate))) / self.sample_rate
        noise = rng.standard_normal((len(stem), len(time))) * 10 ** (-3 * time / decay)
        room = (wet * noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float32)
        tail = fftconvolve(stem.numpy(), room, axes=-1)[:, : stem.shape[-1]]
        return stem + torch.from_numpy(tail)
