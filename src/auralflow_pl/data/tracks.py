"""What every data set yields: tracks, and where the sound of each stem is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from auralflow_pl.audio.reading import read_span
from auralflow_pl.errors import InputError, did_you_mean

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Track:
    """One song in stems of equal length and rate."""

    name: str
    split: str
    sample_rate: int  # Hz
    frames: int  # samples
    channels: int
    stems: Mapping[str, Path]
    mixture: Path | None = None  # None: the sum of the stems

    def read_stems(self, start: int, frames: int) -> Tensor:
        """`(stems, channels, frames)` from sample `start` on, in the order of `stems`."""
        return torch.stack([self.read_stem(stem, start, frames) for stem in self.stems])

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """One stem, `(channels, frames)` from sample `start` on."""
        return read_span(self.stems[stem], start, frames)

    def read(self) -> tuple[Tensor, Tensor]:
        """The whole track: mixture `(channels, time)` and stems `(stems, channels, time)`."""
        stems = self.read_stems(0, self.frames)
        mixture = read_span(self.mixture, 0, self.frames) if self.mixture else stems.sum(0)
        return mixture, stems


class TrackSource(ABC):
    """A data set; `stems` names what its tracks hold, in the order in which tensors hold them."""

    stems: Sequence[str]

    def prepare(self) -> None:  # noqa: B027 - nothing to do is a fine default
        """Download or generate what is missing; called by one process before anything is read."""

    @abstractmethod
    def tracks(self, split: str) -> list[Track]:
        """The tracks of `train`, `valid` or `test`, in a fixed order, at least one.

        Raises:
            InputError: no tracks, or tracks with faults.
        """


def resolve_targets(target: str | Sequence[str] | None, stems: Sequence[str]) -> tuple[str, ...]:
    """The names in `target`, each one checked against the stems of the data set.

    Raises:
        InputError: unknown, repeated, or none at all.
    """
    names = (target,) if isinstance(target, str) else tuple(target or ())
    if not names or len(set(names)) != len(names):
        raise InputError(f"target={list(names)}: expected one or several different stems")
    for name in names:
        if name not in stems:
            raise InputError(f"target={name}: no such stem, {did_you_mean(name, stems)}")
    return names


def to_channels(audio: Tensor, channels: int) -> Tensor:
    """`(..., channels, time)` as mono (the mean) or stereo (mono twice).

    Raises:
        InputError: there is no rule for this pair of channel counts.
    """
    given = audio.shape[-2]
    if given == channels:
        return audio
    if channels == 1:
        return audio.mean(-2, keepdim=True)
    if given == 1:
        return audio.expand(*audio.shape[:-2], channels, audio.shape[-1])
    raise InputError(f"tracks have {given} channels, audio.channels={channels}: no rule for that")
