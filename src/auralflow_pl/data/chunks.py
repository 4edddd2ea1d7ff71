"""Training chunks: each one a pure function of (seed, epoch, index)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from auralflow_pl.checks.values import one_of
from auralflow_pl.data.augment import Augmentation, ReadPosition
from auralflow_pl.data.targets import to_channels
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError

BALANCE_NAMES = ("length", "track")

MOST_DRAWS = 100  # of a chunk, where targets are hardly ever heard


class ChunkSampler(Sampler[int]):
    """Yields `epoch * chunks_per_epoch + index`, so the number says which epoch it belongs to.

    Lightning calls `set_epoch`; workers that live through several epochs need no message. Of
    several devices each takes every n-th chunk, so that together they see what one would see.

    Args:
        chunks_per_epoch: of all devices together.
        rank: of this device.
        devices: how many there are; each yields equally many numbers, so a rest is left out.
    """

    def __init__(self, chunks_per_epoch: int, rank: int = 0, devices: int = 1) -> None:
        self.chunks_per_epoch = chunks_per_epoch
        self.rank = rank
        self.devices = devices
        self.epoch = 0
        self.skip = 0  # numbers of the next epoch that are left out, as they were drawn before

    def set_epoch(self, epoch: int) -> None:
        """Choose the chunks of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.chunks_per_epoch // self.devices

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.chunks_per_epoch + self.rank
        return iter(range(first, first + len(self) * self.devices, self.devices)[self.skip :])


@dataclass(frozen=True)
class SamplingOptions:
    """How places of chunks are drawn.

    Args:
        balance: `length`: a track by its length; `track`: every track as often as any other.
        silence_db: level in dB re full scale (RMS) below which a target counts as silent; None:
            silence is not looked for.
        keep_silent: share of the chunks with a silent target that are kept; the others are drawn
            again.
        targets: stems that are to be heard; none: silence is not looked for.
        weights: of the roots of tracks, relative to each other; none: roots do not matter.

    Raises:
        InputError: a value that makes no sense.
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
    """Chunks drawn with replacement: a track, then a place in it.

    Items are `{"mixture": (channels, time), "stems": (stems, channels, time), "number": ()}`; the
    mixture is the sum of the stems after augmentation. A track that is shorter than a chunk is
    padded with zeros at the end.

    Args:
        tracks: at least one.
        channels: 1 or 2.
        sample_rate: that every track must have, in Hz.
        chunk_seconds: length of a chunk.
        seed: of the draws.
        augmentations: applied one after the other to the stems of every chunk.
        drawing: of the places.

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

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, number))
        stems = self.read(self.places(rng))
        for augmentation in self.augmentations:
            stems = augmentation(stems, rng)
        stems = stems[..., : self.frames]
        return {"mixture": stems.sum(0), "stems": stems, "number": torch.tensor(number)}

    def places(self, rng: np.random.Generator) -> list[ReadPosition]:
        """Where each stem of a chunk is read."""
        count = len(self.tracks[0].stems)
        places = [self.draw(rng, range(count))] * count
        for augmentation in self.augmentations:
            places = augmentation.places(places, rng, lambda rng, stem: self.draw(rng, [stem]))
        return places

    def draw(self, rng: np.random.Generator, numbers: Sequence[int]) -> ReadPosition:
        """A place for some stems; again, while the targets among them are silent there."""
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
        """A track by its chance, and the first sample of a chunk in it."""
        last = len(self.tracks) - 1
        track = self.tracks[min(last, int(np.searchsorted(self.cumulated, rng.random(), "right")))]
        return ReadPosition(track, int(rng.integers(max(0, track.frames - self.reach) + 1)))

    def is_heard(self, place: ReadPosition, stems: Sequence[str]) -> bool:
        """Whether one of the stems is louder than silence in a chunk at this place."""
        track, start = place
        assert self.drawing.silence_db is not None  # else nobody asks
        floor = 10 ** (self.drawing.silence_db / 10)
        frames = min(self.frames, track.frames)
        return any(track.level(stem, start, frames) > floor for stem in stems)

    def read(self, places: Sequence[ReadPosition]) -> Tensor:
        """What is at the places, `(stems, channels, time)`, as long as the augmentations need."""
        track, start = places[0]
        if all(place == places[0] for place in places[1:]):
            return self.fit(track.read_stems(start, min(self.reach, track.frames)))
        return torch.stack(
            [
                self.fit(track.read_stem(track.stems[n], start, min(self.reach, track.frames)))
                for n, (track, start) in enumerate(places)
            ]
        )

    def fit(self, audio: Tensor) -> Tensor:
        """`(..., channels, time)` with the channels and the length that are asked for."""
        return to_channels(F.pad(audio, (0, self.reach - audio.shape[-1])), self.channels)


class WholeTracks(Dataset[dict[str, Tensor | str]]):
    """Whole tracks for validation: `name`, `mixture (channels, time)`, `stems`, `sample_rate`."""

    def __init__(self, tracks: Sequence[Track], channels: int) -> None:
        self.tracks = tuple(tracks)
        self.channels = channels

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        track = self.tracks[index]
        mixture, stems = track.read()
        return {
            "name": track.name,
            "mixture": to_channels(mixture, self.channels),
            "stems": to_channels(stems, self.channels),
            "sample_rate": torch.tensor(track.sample_rate),
        }
