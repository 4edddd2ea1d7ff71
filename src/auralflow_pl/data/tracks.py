"""Interfaces of data sets: `Track` and `TrackSource`."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from auralflow_pl.audio.reading import Header, read_audio, read_span
from auralflow_pl.data.targets import to_channels
from auralflow_pl.errors import InputError
from auralflow_pl.signal.resampling import match_length, resample

log = logging.getLogger(__name__)

SPLIT_NAMES = ("train", "valid", "test")

REST = "rest"  # stem that is what the other stems leave of the mixture


class TrackSound(NamedTuple):
    """The sound of a whole track."""

    mixture: Tensor  # (channels, time)
    stems: Tensor  # (stems, channels, time)
    total: Tensor  # (channels, time), what the stems and the rest of the music add up to

    @classmethod
    def of(cls, mixture: Tensor, stems: Tensor) -> TrackSound:
        """Stems that, with the rest, add up to the mixture itself."""
        return cls(mixture, stems, mixture)


class NoTracksError(InputError):
    """A data set without faults has no tracks of a split."""


@dataclass(frozen=True)
class Track(ABC):
    """A song as stems of equal length, sample rate and number of channels."""

    name: str
    split: str
    sample_rate: int  # Hz
    frames: int  # samples
    channels: int
    stems: tuple[str, ...]
    has_mixture: bool  # whether there is a mixture; otherwise it is the sum of the stems
    files: tuple[Path, ...]  # files that hold the sound
    root: Path  # folder of the data set
    parts: tuple[str, ...] = field(default=(), kw_only=True)  # stem of each file, if stems are sums
    absent: tuple[str, ...] = field(default=(), kw_only=True)  # stems without a file: silence
    changes: str = field(default="", kw_only=True)  # how files were made to fit; empty: not at all
    spans: tuple[tuple[int, int], ...] = field(default=(), kw_only=True)  # see `FittedTrack`
    weight: float = field(default=1.0, kw_only=True)  # relative number of chunks, see `draws`
    labels: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)  # names and classes
    loose: bool = field(default=False, kw_only=True)  # its stems belong to no song, see `draws`
    bandwidth: float | None = field(default=None, kw_only=True)  # Hz; nothing above; None: full

    def facts(self) -> dict[str, Any]:
        """All fields that every track has, by name."""
        return {known.name: getattr(self, known.name) for known in fields(Track)}

    @abstractmethod
    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Read `frames` samples of one stem from sample `start` on, `(channels, frames)`."""

    @abstractmethod
    def planes(self) -> Iterator[Tensor]:
        """All stems in order, then the mixture if there is one, `(channels, time)` each."""

    def read_stems(self, start: int, frames: int) -> Tensor:
        """Read `(stems, channels, frames)` from sample `start` on, in the order of `stems`."""
        return torch.stack([self.read_stem(stem, start, frames) for stem in self.stems])

    def read_mixture(self, start: int, frames: int) -> Tensor:
        """Read `frames` samples of the mixture from sample `start` on, `(channels, frames)`."""
        if not self.has_mixture:
            return self.read_stems(start, frames).sum(0)
        *_, mixture = self.planes()
        return mixture[:, start : start + frames]

    def level(self, stem: str, start: int, frames: int) -> float:
        """Mean square of one stem over `frames` samples from `start` on; full scale is 1."""
        return float(self.read_stem(stem, start, frames).square().mean())

    def read(self) -> tuple[Tensor, Tensor]:
        """Read the whole track: mixture `(channels, time)` and stems `(stems, channels, time)`."""
        planes = torch.stack(list(self.planes()))
        stems = planes[: len(self.stems)]
        return planes[-1] if self.has_mixture else stems.sum(0), stems

    @property
    def identity(self) -> str:
        """What tells its sound from others in the same `files`; empty: it is all of them."""
        return json.dumps(self.spans) if self.spans else ""

    @property
    def is_published_otherwise(self) -> bool:
        """Whether published scores were computed with other samples than those of `read`."""
        return False

    def read_published(self) -> TrackSound:
        """Read the whole track with the samples that published scores were computed with."""
        return TrackSound.of(*self.read())


@dataclass(frozen=True)
class FileTrack(Track):
    """A track with one file per stem, then one for the mixture if there is one."""

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Read a span of one stem by seeking in its file."""
        return read_span(self.files[self.stems.index(stem)], start, frames)

    def read_mixture(self, start: int, frames: int) -> Tensor:
        """Read a span of the mixture by seeking in its file."""
        if not self.has_mixture:
            return super().read_mixture(start, frames)
        return read_span(self.files[-1], start, frames)

    def planes(self) -> Iterator[Tensor]:
        """Decode the files one after the other."""
        return (read_audio(path).samples for path in self.files)


@dataclass(frozen=True)
class FittedTrack(Track):
    """A track of spans, or whose files differ in length, rate or channels, or that lacks a stem.

    The files are those of the stems that are not `absent`, then that of the mixture if there is
    one. With `parts`, a stem is the sum of its files, and a mixture without a file the sum of all.
    `spans` has the first sample and the length of what is the track in each file, at the rate of
    the file; empty: the whole files. What has another rate is decoded as a whole for every read,
    which is slow without a pool.
    """

    headers: tuple[Header, ...]  # of the files, with the lengths of their spans

    def numbers(self, name: str) -> list[int]:
        """Numbers of the files that add up to a stem or the mixture."""
        present = [stem for stem in self.stems if stem not in self.absent]
        names = self.parts or (*present, "mixture")
        return [number for number, of in enumerate(names[: len(self.files)]) if of == name]

    def read_sum(self, numbers: Iterable[int], start: int, frames: int) -> Tensor:
        """Read a span of the sum of files, `(channels, frames)`; of none: silence."""
        total = torch.zeros(self.channels, frames)
        for number in numbers:
            total += self.read_file(number, start, frames)
        return total

    def read_file(self, number: int, start: int, frames: int) -> Tensor:
        """Read a span of a file as the track has it, `(channels, frames)`."""
        path, header = self.files[number], self.headers[number]
        first = self.spans[number][0] if self.spans else 0
        if header.sample_rate == self.sample_rate:
            here = read_span(path, first + start, max(0, min(frames, header.frames - start)))
        else:
            whole = read_span(path, first, header.frames)
            whole = resample(whole, header.sample_rate, self.sample_rate)
            here = whole[:, start : start + frames]
        return to_channels(match_length(here, frames), self.channels)

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Read a span of one stem."""
        return self.read_sum(self.numbers(stem), start, frames)

    def read_mixture(self, start: int, frames: int) -> Tensor:
        """Read a span of the mixture."""
        if not self.has_mixture:
            return super().read_mixture(start, frames)
        return self.read_sum(self.numbers("mixture") or range(len(self.files)), start, frames)

    def planes(self) -> Iterator[Tensor]:
        """Decode one stem after the other, then the mixture if there is one."""
        for stem in self.stems:
            yield self.read_stem(stem, 0, self.frames)
        if self.has_mixture:
            yield self.read_mixture(0, self.frames)


@dataclass(frozen=True)
class RestTrack(Track):
    """A track with the stem `rest`, which is the mixture minus all other stems."""

    part: Track  # the same track without `rest`

    @classmethod
    def of(cls, part: Track, stems: tuple[str, ...]) -> RestTrack:
        """Add `rest` to a track with a mixture; `stems` are all stems in their order."""
        return cls(**part.facts() | {"stems": stems}, part=part)

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Read a span of one stem; that of `rest` from the files of the mixture and all others."""
        if stem != REST:
            return self.part.read_stem(stem, start, frames)
        others = sum(self.part.read_stem(other, start, frames) for other in self.part.stems)
        return self.part.read_mixture(start, frames) - others

    def read_mixture(self, start: int, frames: int) -> Tensor:
        """Read a span of the mixture."""
        return self.part.read_mixture(start, frames)

    def planes(self) -> Iterator[Tensor]:
        """All stems in order, then the mixture."""
        *sounds, mixture = self.part.planes()
        sounds.insert(self.stems.index(REST), mixture - sum(sounds))
        return iter([*sounds, mixture])

    @property
    def identity(self) -> str:
        """As for the track without `rest`."""
        return self.part.identity

    @property
    def is_published_otherwise(self) -> bool:
        """As for the track without `rest`."""
        return self.part.is_published_otherwise

    def read_published(self) -> TrackSound:
        """Read the whole track; `rest` is then what the stems that are not named add up to."""
        mixture, stems, total = self.part.read_published()
        sounds = list(stems)
        sounds.insert(self.stems.index(REST), total - stems.sum(0))
        return TrackSound(mixture, torch.stack(sounds), total)


class TrackSource(ABC):
    """Base of data sets; `stems` lists the stems of its tracks in the order of the tensors."""

    stems: Sequence[str]
    pooled: bool = True  # whether tracks are decoded into the pool
    opens_addresses: bool = False  # whether an argument is an address that the source connects to
    weights: Mapping[Path, float] = MappingProxyType({})  # of roots; empty: by length of the tracks

    def prepare(self) -> None:  # noqa: B027 - nothing to do is a fine default
        """Download or generate missing files; called once, by one process, before reading."""

    @abstractmethod
    def find(self, split: str) -> list[Path]:
        """Paths of the tracks of `train`, `valid` or `test`, in a fixed order, at least one.

        Raises:
            NoTracksError: there are none.
            InputError: unknown split, or a fault in the data set.
        """

    @abstractmethod
    def track(self, path: Path, split: str) -> Track:
        """Open a track after checking the headers of its files.

        Raises:
            InputError: a stem is missing, cannot be read, or does not match the others.
        """

    def tracks(self, split: str) -> list[Track]:
        """All tracks of a split; each that was made to fit is named in the log.

        Raises:
            InputError: as for `find` and `track`.
        """
        tracks = [self.track(path, split) for path in self.find(split)]
        for track in tracks:
            if track.changes:
                log.warning("%s/%s: %s", split, track.name, track.changes)
        return tracks
