"""Sounds of which excerpts are read: files, and stems or mixtures of the tracks of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from auralflow_pl.audio.reading import Span, open_source, read_audio
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError
from auralflow_pl.signal.loudness import LoudnessMeter
from auralflow_pl.signal.resampling import match_length

STEPS_PER_SECOND = 10  # of `LoudnessMeter.energies`


class Clip(NamedTuple):
    """A part of a sound."""

    samples: Tensor  # (channels, time)
    sample_rate: int  # Hz


class Recording(Protocol):
    """A whole sound."""

    def read(self, start: float, seconds: float) -> Clip:
        """Read a part; shorter where the sound ends. Times are in seconds.

        Raises:
            InputError: the sound cannot be read, or ends before `start`.
        """

    def energies(self) -> Sequence[float]:
        """K-weighted mean square of every 100 ms of the whole sound."""


@dataclass(frozen=True)
class FileRecording:
    """A sound file of any readable format."""

    path: Path
    skipped: float = 0.0  # seconds at the beginning of the file that are no part of the sound

    def read(self, start: float, seconds: float) -> Clip:
        """Read a part of the file."""
        with open_source(self.path, Span(self.skipped + start, seconds)) as source:
            return Clip(torch.cat(list(source.blocks), -1), source.sample_rate)

    def energies(self) -> Sequence[float]:
        """Decode the file block by block and measure it."""
        with open_source(self.path, Span(self.skipped)) as source:
            meter = LoudnessMeter(source.sample_rate, source.channels)
            for block in source.blocks:
                meter.push(block)
        return meter.energies


@dataclass(frozen=True)
class SumRecording:
    """The sum of sound files, the mixture of a song that has no file of it."""

    parts: tuple[FileRecording, ...]

    def read(self, start: float, seconds: float) -> Clip:
        """Read a part of the sum; files that end before others are silent from there on.

        Raises:
            InputError: a file cannot be read, ends before `start`, or has another sample rate or
                number of channels.
        """
        return self.sum_of([part.read(start, seconds) for part in self.parts])

    def energies(self) -> Sequence[float]:
        """Decode the files and measure their sum."""
        whole = [read_audio(part.path) for part in self.parts]
        clip = self.sum_of([Clip(audio.samples, audio.sample_rate) for audio in whole])
        meter = LoudnessMeter(clip.sample_rate, clip.samples.shape[0])
        meter.push(clip.samples)
        return meter.energies

    def sum_of(self, clips: Sequence[Clip]) -> Clip:
        """The sum of clips of all files."""
        forms = [(clip.sample_rate, clip.samples.shape[0]) for clip in clips]
        for part, form in zip(self.parts, forms, strict=True):
            if form != forms[0]:
                raise InputError(
                    f"{part.path}: {form[0]} Hz, {form[1]} channels, {self.parts[0].path.name} has "
                    f"{forms[0][0]} Hz, {forms[0][1]}: no sum of stems; add a file mixture.wav"
                )
        length = max(clip.samples.shape[-1] for clip in clips)
        total = torch.stack([match_length(clip.samples, length) for clip in clips]).sum(0)
        return Clip(total, forms[0][0])


@dataclass(frozen=True)
class TrackRecording:
    """The sum of stems of a track, or its mixture."""

    track: Track
    stems: tuple[str, ...] | None  # None: the mixture

    def part(self, first: int, frames: int) -> Tensor:
        """Read a span of samples, `(channels, frames)`."""
        if self.stems is None:
            return self.track.read_mixture(first, frames)
        return torch.stack([self.track.read_stem(s, first, frames) for s in self.stems]).sum(0)

    def read(self, start: float, seconds: float) -> Clip:
        """Read a part of the track; one that begins behind its end has no samples."""
        rate = self.track.sample_rate
        first = min(round(start * rate), self.track.frames)
        return Clip(self.part(first, min(round(seconds * rate), self.track.frames - first)), rate)

    def energies(self) -> Sequence[float]:
        """Read the whole track and measure it."""
        meter = LoudnessMeter(self.track.sample_rate, self.track.channels)
        meter.push(self.part(0, self.track.frames))
        return meter.energies


def loudest_start(energies: Sequence[float], seconds: float) -> float:
    """Beginning, in seconds, of the loudest part of a length; the first of several equal ones.

    Args:
        energies: as of `Recording.energies`.
        seconds: length of the part; a shorter sound is taken from its beginning.
    """
    steps = round(seconds * STEPS_PER_SECOND)
    found = torch.tensor(energies, dtype=torch.float64)
    if len(found) <= steps:
        return 0.0
    return int(found.unfold(0, max(1, steps), 1).mean(-1).argmax()) / STEPS_PER_SECOND
