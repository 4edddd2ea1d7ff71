"""One excerpt of one target of a song: its sounds at equal loudness, scores and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from auralflow_pl.data.targets import to_channels
from auralflow_pl.errors import InputError
from auralflow_pl.gallery.recordings import Clip, loudest_start
from auralflow_pl.gallery.songs import GallerySong
from auralflow_pl.gallery.subjects import Subject
from auralflow_pl.metrics.scale_invariant import is_silent, si_sdr
from auralflow_pl.signal.loudness import LoudnessMeter
from auralflow_pl.signal.resampling import match_length, resample

EXCERPT_RATE = 44100  # Hz, of the sounds on the page

MOST_GAIN_DB = 20.0  # what is nearly silent is not made as loud as the rest


class ExcerptPlace(NamedTuple):
    """The part of a song that is heard, in seconds."""

    start: float
    seconds: float


@dataclass(frozen=True)
class Excerpt:
    """Sounds of one target in one song, `(channels, time)` at `EXCERPT_RATE`, of equal length."""

    song: str
    target: str
    place: ExcerptPlace
    mixture: Tensor | None
    truth: Tensor | None
    estimates: Mapping[str, Tensor]  # by the name of the model

    @property
    def references(self) -> dict[str, Tensor]:
        """Mixture and truth, as far as they are known."""
        known = {"mixture": self.mixture, "truth": self.truth}
        return {name: sound for name, sound in known.items() if sound is not None}

    def score(self, sound: Tensor) -> float | None:
        """SI-SDR of a sound in dB; None without a truth, or with a silent one."""
        if self.truth is None or bool(is_silent(self.truth.flatten())):
            return None
        same = to_channels(sound, self.truth.shape[0])
        return float(si_sdr(same.flatten(), self.truth.flatten()))


def choose_place(
    song: GallerySong,
    subjects: Sequence[Subject],
    targets: Sequence[str],
    seconds: float,
    offset: float | None,
) -> ExcerptPlace:
    """Choose the part of a song that is heard: at `offset`, or where the target is loudest.

    The target is `vocals` if that is one, else the first one: its truth, or else the first whole
    estimate, or else the mixture.
    """
    if offset is not None:
        return ExcerptPlace(offset, seconds)
    target = "vocals" if "vocals" in targets else targets[0]
    whole = (subject.whole(song, target) for subject in subjects)
    every = (song.truth.get(target), *whole, song.mixture)
    known = next(recording for recording in every if recording is not None)
    return ExcerptPlace(loudest_start(known.energies(), seconds), seconds)


def read_excerpt(
    song: GallerySong, subjects: Sequence[Subject], target: str, place: ExcerptPlace
) -> Excerpt:
    """Read mixture, truth and estimates of a target.

    All have the length of the mixture, or else of the truth or the first estimate.

    Raises:
        InputError: a sound cannot be read, or ends before the place.
    """
    known = [song.mixture, song.truth.get(target)]
    clips = [None if recording is None else recording.read(*place) for recording in known]
    clips += [subject.read(song, target, *place) for subject in subjects]
    sounds = [None if clip is None else on_page(clip) for clip in clips]
    length = next(sound.shape[-1] for sound in sounds if sound is not None)
    if length == 0:
        raise InputError(
            f"offset={place.start}: {song.name} ends before; pass a smaller one, or none for the "
            "loudest place"
        )
    mixture, truth, *estimates = (
        None if sound is None else match_length(sound, length) for sound in sounds
    )
    names = (subject.name for subject in subjects)
    seconds = length / EXCERPT_RATE
    return Excerpt(
        song.name,
        target,
        ExcerptPlace(place.start, seconds),
        mixture,
        truth,
        dict(zip(names, estimates, strict=True)),
    )


def on_page(clip: Clip) -> Tensor:
    """Resample to `EXCERPT_RATE`; more than two channels are averaged."""
    samples = clip.samples if clip.samples.shape[0] <= 2 else clip.samples.mean(0, keepdim=True)
    return resample(samples, clip.sample_rate, EXCERPT_RATE)


class Levels(NamedTuple):
    """How loud the sounds of an excerpt are played."""

    stored: float  # factor of all sounds, at most 1, which brings them within full scale
    changes: list[float]  # change of each sound in dB that makes it as loud as the others
    common: float  # further factor of all changed sounds, at most 1, for the same reason
    heard: float | None  # loudness of the changed sounds in LUFS; None: all are silent


def match_levels(sounds: Sequence[Tensor], reference: int) -> Levels:
    """Make sounds equally loud (ITU-R BS.1770-4), raising none by more than `MOST_GAIN_DB`.

    Sounds without a loudness, as silence, keep their level.

    Args:
        sounds: `(channels, time)` each.
        reference: number of the sound that keeps its level, if it has a loudness.
    """
    loud = [measure_loudness(sound) for sound in sounds]
    wanted = next((one for one in (loud[reference], *loud) if one is not None), None)
    changes = [
        0.0 if one is None or wanted is None else min(MOST_GAIN_DB, wanted - one) for one in loud
    ]
    peaks = [float(sound.abs().amax()) for sound in sounds]
    stored = 1 / max(1.0, *peaks)
    changed = [stored * peak * 10 ** (db / 20) for peak, db in zip(peaks, changes, strict=True)]
    common = 1 / max(1.0, *changed)
    heard = None if wanted is None else wanted + 20 * math.log10(stored * common)
    return Levels(stored, changes, common, heard)


def measure_loudness(sound: Tensor) -> float | None:
    """Integrated loudness in LUFS of `(channels, time)` at `EXCERPT_RATE`; None for silence.

    Mono is measured as browsers play it, on two loudspeakers.
    """
    meter = LoudnessMeter(EXCERPT_RATE, 2)
    meter.push(to_channels(sound, 2))
    return meter.integrated()
