"""Training chunks: each one a pure function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from auralflow_pl.data.augment import Augmentation
from auralflow_pl.data.tracks import Track, to_channels
from auralflow_pl.errors import InputError


class ChunkSampler(Sampler[int]):
    """Yields `epoch * chunks_per_epoch + index`, so the number says which epoch it belongs to.

    Lightning calls `set_epoch`; workers that live through several epochs need no message.
    """

    def __init__(self, chunks_per_epoch: int) -> None:
        self.chunks_per_epoch = chunks_per_epoch
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the chunks of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.chunks_per_epoch

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.chunks_per_epoch
        return iter(range(first, first + self.chunks_per_epoch))


class ChunkDataset(Dataset[dict[str, Tensor]]):
    """Chunks drawn with replacement: a track by its length, then a place in it.

    Items are `{"mixture": (channels, time), "stems": (stems, channels, time)}`; the mixture is the
    sum of the stems after augmentation. A track that is shorter than a chunk is padded with zeros
    at the end.

    Args:
        tracks: at least one.
        channels: 1 or 2.
        sample_rate: that every track must have, in Hz.
        chunk_seconds: length of a chunk.
        seed: of the draws.
        augmentations: applied one after the other to the stems of every chunk.

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
        if self.frames < 1:
            raise InputError(f"chunk_seconds={chunk_seconds}: expected at least one sample")
        lengths = np.array([track.frames for track in tracks], dtype=np.float64)
        self.cumulated = np.cumsum(lengths / lengths.sum())

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, number))
        track, start = self.draw_place(rng)
        stems = self.fit(track.read_stems(start, min(self.frames, track.frames)))
        for augmentation in self.augmentations:
            stems = augmentation(stems, rng, self.draw_stem)
        return {"mixture": stems.sum(0), "stems": stems}

    def draw_place(self, rng: np.random.Generator) -> tuple[Track, int]:
        """A track by its length, and the first sample of a chunk in it."""
        last = len(self.tracks) - 1
        track = self.tracks[min(last, int(np.searchsorted(self.cumulated, rng.random())))]
        return track, int(rng.integers(max(0, track.frames - self.frames) + 1))

    def draw_stem(self, rng: np.random.Generator, number: int) -> Tensor:
        """Stem `number` of a track and place of its own, `(channels, time)`."""
        track, start = self.draw_place(rng)
        stem = track.stems[number]
        return self.fit(track.read_stem(stem, start, min(self.frames, track.frames)))

    def fit(self, audio: Tensor) -> Tensor:
        """`(..., channels, time)` with the channels and the length of a chunk."""
        return to_channels(F.pad(audio, (0, self.frames - audio.shape[-1])), self.channels)


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
