"""Augmentations: what is done to the stems of a chunk before they are added to a mixture.

Every one is a function of the chunk and of a random generator that belongs to the chunk, so a chunk
stays a pure function of (seed, epoch, index). A chunk is made in two steps: places are drawn for
its stems, and what is read there is changed. An augmentation may take part in either.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.signal import fftconvolve
from torch import Tensor

from auralflow_pl.checks.values import within
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError
from auralflow_pl.signal.stretch import shift_pitch


class ReadPosition(NamedTuple):
    """Where a stem of a chunk is read."""

    track: Track
    start: int  # first sample


DrawPosition = Callable[[np.random.Generator, int], ReadPosition]


class Augmentation(ABC):  # noqa: B024 - either method will do
    """Base of all augmentations; what it does not override stays as it is."""

    reach: float = 1.0  # the longest input that an output needs, as a multiple of its length

    def places(
        self,
        places: list[ReadPosition],
        rng: np.random.Generator,  # noqa: ARG002
        draw: DrawPosition,  # noqa: ARG002
    ) -> list[ReadPosition]:
        """Other places for the stems.

        Args:
            places: one for each stem.
            rng: of this chunk; the only source of chance.
            draw: draws a place elsewhere in the training set.
        """
        return places

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        """Other stems `(stems, channels, time)`, at least `time / reach` long.

        Args:
            stems: of one chunk; not changed.
            rng: of this chunk; the only source of chance.
        """
        return stems


class Remix(Augmentation):
    """Put stems of different tracks together (Uhlich et al., 2017), each from a place of its own.

    Args:
        probability: of a chunk to be remixed.
    """

    def __init__(self, probability: float = 1.0) -> None:
        self.probability = within("augment.remix.probability", probability, 0, 1)

    def places(
        self, places: list[ReadPosition], rng: np.random.Generator, draw: DrawPosition
    ) -> list[ReadPosition]:
        """All places drawn anew, or all as they were."""
        if rng.random() >= self.probability:
            return places
        return [draw(rng, number) for number in range(len(places))]


class Gain(Augmentation):
    """Scale every stem by a level of its own.

    Args:
        range_db: levels are drawn evenly from `-range_db` to `range_db`.
    """

    def __init__(self, range_db: float = 6.0) -> None:
        self.range_db = within("augment.gain.range_db", range_db, 0, 60, "dB")

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Scaled stems."""
        levels = torch.from_numpy(rng.uniform(-self.range_db, self.range_db, len(stems)))
        return stems * (10 ** (levels / 20)).to(stems.dtype).reshape(-1, 1, 1)


class ChannelSwap(Augmentation):
    """Exchange left and right; every stem decides for itself. Mono stays as it is.

    Args:
        probability: of a stem to be turned round.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = within("augment.channel_swap.probability", probability, 0, 1)

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Stems, some of them with channels in reverse order."""
        swap = choose_value(stems, self.probability, rng)
        return torch.where(swap, stems.flip(1), stems)


class Polarity(Augmentation):
    """Turn the sign of stems; every stem decides for itself.

    Args:
        probability: of a stem to be inverted.
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = within("augment.polarity.probability", probability, 0, 1)

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Stems, some of them inverted."""
        return torch.where(choose_value(stems, self.probability, rng), -stems, stems)


class PitchTempo(Augmentation):
    """Shift pitch and tempo, by amounts of their own.

    The same for all stems of a chunk, so that they stay in tune and in time; or another one for
    each stem, for chunks that `Remix` put together: a voice that is shifted by itself becomes
    another voice, since its formants move.

    Args:
        probability: of a chunk to be shifted, or of each stem.
        semitones: pitch moves by -semitones to semitones.
        percent: tempo moves by -percent to percent.
        per_stem: every stem is shifted by itself.
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

    def __call__(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Stems with another pitch and tempo, longer or shorter by the tempo."""
        if not self.per_stem:
            return self.move(stems, rng)
        moved = [self.move(stem, rng) for stem in stems.split(1)]
        shortest = min(stem.shape[-1] for stem in moved)
        return torch.cat([stem[..., :shortest] for stem in moved])

    def move(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Stems moved together, or as they are."""
        if rng.random() >= self.probability:
            return stems
        pitch = 2 ** (rng.uniform(-self.semitones, self.semitones) / 12)
        tempo = 1 + rng.uniform(-self.percent, self.percent) / 100
        return shift_pitch(stems, pitch, tempo)


class Equalizer(Augmentation):
    """Raise or lower a band of every stem: a second-order peak.

    Coefficients of Bristow-Johnson's audio EQ cookbook.

    Args:
        probability: of a stem to be filtered.
        range_db: gains are drawn evenly from `-range_db` to `range_db`.
        low_hz: lowest centre; centres are drawn evenly on a logarithmic axis.
        high_hz: highest centre.
        q: quality of the peak, centre over bandwidth.
        sample_rate: of the audio in Hz.
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
        """Stems, some of them filtered."""
        chosen = rng.random(len(stems)) < self.probability
        centres = self.low_hz * (self.high_hz / self.low_hz) ** rng.random(len(stems))
        gains = rng.uniform(-self.range_db, self.range_db, len(stems))
        filtered = [
            self.peak(stem, centre, gain) if on else stem
            for stem, on, centre, gain in zip(stems, chosen, centres, gains, strict=True)
        ]
        return torch.stack(filtered)

    def peak(self, stem: Tensor, centre_hz: float, gain_db: float) -> Tensor:
        """One stem `(channels, time)` filtered; torchaudio's own peak would clip it."""
        from torchaudio.functional import lfilter

        omega = 2 * np.pi * centre_hz / self.sample_rate
        width, root = np.sin(omega) / (2 * self.q), 10 ** (gain_db / 40)
        middle = -2 * np.cos(omega)
        zeros = torch.tensor([1 + width * root, middle, 1 - width * root], dtype=stem.dtype)
        poles = torch.tensor([1 + width / root, middle, 1 - width / root], dtype=stem.dtype)
        return lfilter(stem, poles, zeros, clamp=False)


class Reverb(Augmentation):
    """Add a room: noise that decays exponentially (Moorer, 1979), another one for each channel.

    Args:
        probability: of a stem to get a room.
        decay_seconds: longest time to decay by 60 dB; a tenth of it is the shortest.
        wet_db: highest level of the room relative to the stem; 20 dB less is the lowest.
        sample_rate: of the audio in Hz.
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
        """Stems, some of them with a room."""
        chosen = rng.random(len(stems)) < self.probability
        return torch.stack(
            [self.reverberate(s, rng) if on else s for s, on in zip(stems, chosen, strict=True)]
        )

    def reverberate(self, stem: Tensor, rng: np.random.Generator) -> Tensor:
        """One stem `(channels, time)` with a room of its own."""
        decay = self.decay_seconds * 10 ** rng.uniform(-1, 0)
        wet = 10 ** (rng.uniform(self.wet_db - 20, self.wet_db) / 20)
        time = np.arange(max(1, round(decay * self.sample_rate))) / self.sample_rate
        noise = rng.standard_normal((len(stem), len(time))) * 10 ** (-3 * time / decay)
        room = (wet * noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float32)
        tail = fftconvolve(stem.numpy(), room, axes=-1)[:, : stem.shape[-1]]
        return stem + torch.from_numpy(tail)


def choose_value(stems: Tensor, probability: float, rng: np.random.Generator) -> Tensor:
    """For each stem whether it is chosen, `(stems, 1, 1)`."""
    return torch.from_numpy(rng.random(len(stems)) < probability).reshape(-1, 1, 1)
