"""Interfaces of data sets: `Track` and `TrackSource`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from auralflow_pl.audio.reading import read_audio, read_span

SPLIT_NAMES = ("train", "valid", "test")


@dataclass(frozen=True)
class Track(ABC):
    """One song in stems of equal length and rate; where they are, is up to the subclass."""

    name: str
    split: str
    sample_rate: int  # Hz
    frames: int  # samples
    channels: int
    stems: tuple[str, ...]
    has_mixture: bool  # beside the stems; without one it is their sum
    files: tuple[Path, ...]  # what the sound is read from
    root: Path  # of the data set

    @abstractmethod
    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """One stem, `(channels, frames)` from sample `start` on."""

    @abstractmethod
    def planes(self) -> Iterator[Tensor]:
        """All stems in their order, then the mixture if there is one: whole, `(channels, time)`."""

    def read_stems(self, start: int, frames: int) -> Tensor:
        """`(stems, channels, frames)` from sample `start` on, in the order of `stems`."""
        return torch.stack([self.read_stem(stem, start, frames) for stem in self.stems])

    def level(self, stem: str, start: int, frames: int) -> float:
        """Mean square of one stem over a span; full scale is 1."""
        return float(self.read_stem(stem, start, frames).square().mean())

    def read(self) -> tuple[Tensor, Tensor]:
        """The whole track: mixture `(channels, time)` and stems `(stems, channels, time)`."""
        planes = torch.stack(list(self.planes()))
        stems = planes[: len(self.stems)]
        return planes[-1] if self.has_mixture else stems.sum(0), stems


@dataclass(frozen=True)
class FileTrack(Track):
    """A track with a file for each stem, and one for the mixture if there is one, in this order."""

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Seek in the file; nothing else is decoded."""
        return read_span(self.files[self.stems.index(stem)], start, frames)

    def planes(self) -> Iterator[Tensor]:
        """Decode one file after the other."""
        return (read_audio(path).samples for path in self.files)


class TrackSource(ABC):
    """A data set; `stems` names what its tracks hold, in the order in which tensors hold them."""

    stems: Sequence[str]
    pooled: bool = True  # whether tracks are worth decoding once for all
    weights: Mapping[Path, float] = MappingProxyType({})  # of roots; none: by length of the music

    def prepare(self) -> None:  # noqa: B027 - nothing to do is a fine default
        """Download or generate what is missing; called by one process before anything is read."""

    @abstractmethod
    def find(self, split: str) -> list[Path]:
        """Where the tracks of `train`, `valid` or `test` are, in a fixed order, at least one.

        Raises:
            InputError: no such split, or no tracks.
        """

    @abstractmethod
    def track(self, path: Path, split: str) -> Track:
        """One of the tracks, checked by its headers.

        Raises:
            InputError: a stem is missing, cannot be read, or does not fit the others.
        """

    def tracks(self, split: str) -> list[Track]:
        """All tracks of a split.

        Raises:
            InputError: as `find` and `track`.
        """
        return [self.track(path, split) for path in self.find(split)]
