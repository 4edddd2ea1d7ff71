"""Training chunks, each a pure function of (seed, epoch, index), and whole validation tracks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler

from auralflow_pl.checks.values import one_of
from auralflow_pl.data.augment import Augmentation, ReadPosition
from auralflow_pl.data.targets import to_channels
from auralflow_pl.data.tracks import Track, TrackSound
from auralflow_pl.errors import InputError

BALANCE_NAMES = ("length", "track")

MOST_DRAWS = 100  # attempts to draw a position at which a target is audible


class ChunkSampler(SequentialSampler):
    """Sampler of chunk numbers `epoch * chunks_per_epoch + index`.

    A number identifies its epoch, so persistent workers need not be told the epoch. Lightning
    calls `set_epoch`. With `devices` devices each one gets every `devices`-th chunk; together they
    process the same chunks as a single device.

    Args:
        chunks_per_epoch: number of chunks for all devices together.
        rank: number of this device.
        devices: number of devices; all get equally many chunks, and a remainder is left out.
        repeated: all epochs have the chunks of the first one, to overfit on them.
    """

    def __init__(
        self, chunks_per_epoch: int, rank: int = 0, devices: int = 1, repeated: bool = False
    ) -> None:
        self.chunks_per_epoch = chunks_per_epoch
        self.rank = rank
        self.devices = devices
        self.repeated = repeated
        self.epoch = 0
        self.skip = 0  # chunks at the start of the next epoch that were used before an interruption

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = 0 if self.repeated else epoch

    def __len__(self) -> int:
        return self.chunks_per_epoch // self.devices

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.chunks_per_epoch + self.rank
        return iter(range(first, first + len(self) * self.devices, self.devices)[self.skip :])


@dataclass(frozen=True)
class SamplingOptions:
    """Options for drawing the positions of chunks.

    Args:
        balance: `length`: tracks are drawn in proportion to their length; `track`: all tracks are
            equally likely.
        silence_db: RMS level in dB re full scale below which a target counts as silent; None:
            silence is not detected.
        keep_silent: probability with which a chunk with a silent target is kept; the others are
            drawn again.
        targets: stems that should be audible; empty: silence is not detected.
        weights: relative weights of the roots of tracks; empty: roots have no weights.

    Raises:
        InputError: an unknown balance, or a number out of range.
    """

    balance: str = "length"
    silence_db: float | None = None
    keep_silent: float = 1.0
    targets: tuple[str, ...] = ()
    weights: Mapping[Path, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("data.balance", self.balance, BALANCE_NAMES)
        if not 0 <= self.keep_silent <= 1:
            raise InputError(f"data.keep_silent={self.keep_silent}: expected from 0 to 1")
        if self.silence_db is not None and not -200 <= self.silence_db <= 0:
            raise InputError(f"data.silence_db={self.silence_db}: expected from -200 to 0 dB")

    def chances(self, tracks: Sequence[Track]) -> np.ndarray:
        """Probability of each track, `(tracks,)`."""
        share = np.array([t.frames if self.balance == "length" else 1 for t in tracks], np.float64)
        if self.weights:
            roots = [track.root for track in tracks]
            for root in set(roots):
                here = np.array([r == root for r in roots])
                share[here] *= self.weights[root] / share[here].sum()
        return share / share.sum()


class ChunkDataset(Dataset[dict[str, Tensor]]):
    """Training chunks at random positions of random tracks, drawn with replacement.

    A map-style data set: an item is a function of its number. Numbers from the length on are the
    chunks of later epochs, which `ChunkSampler` asks for.

    Items are `{"mixture": (channels, time), "stems": (stems, channels, time), "number": ()}`; the
    mixture is the sum of the stems after augmentation, if no augmentation changes it. A track that
    is shorter than a chunk is padded with zeros at the end.

    Args:
        tracks: tracks of the training set, at least one.
        channels: number of audio channels, 1 or 2.
        sample_rate: sample rate in Hz that every track must have.
        chunk_seconds: length of a chunk in seconds.
        seed: seed of all random choices.
        augmentations: augmentations that are applied in order to the stems of every chunk.
        drawing: options for drawing positions.
        chunks_per_epoch: length of the data set; None: as many chunks as all tracks together are
            long.

    Raises:
        InputError: a track has another sample rate, or the chunk is shorter than a sample.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        channels: int,
        sample_rate: int,
        chunk_seconds: float,
        seed: int,
        augmentations: Sequence[Augmentation] = (),
        drawing: SamplingOptions = SamplingOptions(),
        chunks_per_epoch: int | None = None,
    ) -> None:
        for track in tracks:
            if track.sample_rate != sample_rate:
                raise InputError(
                    f"{track.split}/{track.name}: {track.sample_rate} Hz, expected "
                    f"audio.sample_rate={sample_rate}; convert the files or set that key"
                )
        self.tracks = tuple(tracks)
        self.channels = channels
        self.frames = round(chunk_seconds * sample_rate)
        self.seed = seed
        self.augmentations = tuple(augmentations)
        self.drawing = drawing
        if self.frames < 1:
            raise InputError(f"chunk_seconds={chunk_seconds}: expected at least one sample")
        self.reach = math.ceil(self.frames * math.prod(a.reach for a in self.augmentations))
        self.cumulated = np.cumsum(drawing.chances(tracks))
        whole = math.ceil(sum(track.frames for track in tracks) / self.frames)
        self.chunks_per_epoch = whole if chunks_per_epoch is None else chunks_per_epoch

    def __len__(self) -> int:
        return self.chunks_per_epoch

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, number))
        stems = self.add(self.read(self.places(rng)), rng)
        for augmentation in self.augmentations:
            stems = augmentation(stems, rng)
        stems = stems[..., : self.frames]
        mixture = stems.sum(0)
        for augmentation in self.augmentations:
            mixture = augmentation.change_mixture(mixture, rng)
        return {"mixture": mixture, "stems": stems, "number": torch.tensor(number)}

    def places(self, rng: np.random.Generator) -> list[ReadPosition]:
        """Read position of each stem of a chunk, after all augmentations."""
        count = len(self.tracks[0].stems)
        places = [self.draw(rng, range(count))] * count
        for augmentation in self.augmentations:
            places = augmentation.places(places, rng, self.draw_stem)
        return places

    def draw_stem(self, rng: np.random.Generator, stem: int) -> ReadPosition:
        """Draw a position for one stem."""
        return self.draw(rng, [stem])

    def draw(self, rng: np.random.Generator, numbers: Sequence[int]) -> ReadPosition:
        """Draw a position for some stems; draw again while all targets among them are silent."""
        stems = self.tracks[0].stems
        wanted = [stems[number] for number in numbers if stems[number] in self.drawing.targets]
        place = self.draw_any(rng)
        if not wanted or self.drawing.silence_db is None:
            return place
        for _ in range(MOST_DRAWS):
            if self.is_heard(place, wanted) or rng.random() < self.drawing.keep_silent:
                break
            place = self.draw_any(rng)
        return place

    def draw_any(self, rng: np.random.Generator) -> ReadPosition:
        """Draw a track with its probability, and a uniform position in it."""
        last = len(self.tracks) - 1
        track = self.tracks[min(last, int(np.searchsorted(self.cumulated, rng.random(), "right")))]
        return ReadPosition(track, int(rng.integers(max(0, track.frames - self.reach) + 1)))

    def is_heard(self, place: ReadPosition, stems: Sequence[str]) -> bool:
        """Whether one of the stems is above the silence level in a chunk at this position."""
        track, start = place
        assert self.drawing.silence_db is not None  # else nobody asks
        floor = 10 ** (self.drawing.silence_db / 10)
        frames = min(self.frames, track.frames)
        return any(track.level(stem, start, frames) > floor for stem in stems)

    def read(self, places: Sequence[ReadPosition]) -> Tensor:
        """Read stems `(stems, channels, reach)`, enough samples for all augmentations."""
        track, start = places[0]
        if all(place == places[0] for place in places[1:]):
            return self.fit(track.read_stems(start, min(self.reach, track.frames)))
        return torch.stack([self.read_stem(n, place) for n, place in enumerate(places)])

    def add(self, stems: Tensor, rng: np.random.Generator) -> Tensor:
        """Add to the stems what augmentations choose."""
        total = stems
        for augmentation in self.augmentations:
            for stem, place, gain in augmentation.additions(len(stems), rng, self.draw_stem):
                total = stems.clone() if total is stems else total
                total[stem] += gain * self.read_stem(stem, place)
        return total

    def read_stem(self, stem: int, place: ReadPosition) -> Tensor:
        """Read a stem by its number, `(channels, reach)`."""
        track, start = place
        frames = min(self.reach, track.frames)
        return self.fit(track.read_stem(track.stems[stem], start, frames))

    def fit(self, audio: Tensor) -> Tensor:
        """Convert `(..., channels, time)` to the number of channels and the length of a chunk."""
        return to_channels(F.pad(audio, (0, self.reach - audio.shape[-1])), self.channels)


class WholeTracks(Dataset[dict[str, Tensor | str]]):
    """Whole tracks, as a mapping of name, mixture, stems, total and sample rate.

    Shapes are `(channels, time)` for the mixture and the total, which is what all stems and the
    rest add up to, and `(stems, channels, time)` for the stems; the sample rate is in Hz.

    Args:
        tracks: the tracks.
        channels: number of audio channels, 1 or 2; None: those of the files.
        published: read the samples of published scores, see `Track.read_published`.
    """

    def __init__(
        self, tracks: Sequence[Track], channels: int | None = None, published: bool = False
    ) -> None:
        self.tracks = tuple(tracks)
        self.channels = channels
        self.published = published

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        track = self.tracks[index]
        sound = track.read_published() if self.published else TrackSound.of(*track.read())
        channels = self.channels or sound.mixture.shape[-2]
        return {
            "name": track.name,
            "mixture": to_channels(sound.mixture, channels),
            "stems": to_channels(sound.stems, channels),
            "total": to_channels(sound.total, channels),
            "sample_rate": torch.tensor(track.sample_rate),
        }
