"""Checks of the sound of a track: levels, clipping, offsets, bleed, alignment and duplicates.

Audio is `(channels, time)` in numpy arrays; levels are in dB re full scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from auralflow_pl.data.mixtures import (
    REST_ERROR_DB,
    SUM_ERROR_DB,
    SUM_WARNING_DB,
    level_in,
    mean_power,
    power_to_db,
)
from auralflow_pl.data.pool import LOUD_DB
from auralflow_pl.data.tracks import REST, Track

SILENT_DB = -80.0  # peak below which a stem counts as silent

AUDIBLE_DB = -60.0  # RMS above which a frame counts as audible

MOMENT_SECONDS = 0.1  # length of the frames in which coverage is measured

CLIPPED_SAMPLES = 20  # least number of samples at the peak of a clipped sound

DC_LEVEL, DC_SHARE = 1e-3, 0.03  # DC offset, absolute and relative to the standard deviation

MONO_DB = -80.0  # level of the difference of both channels, relative to their sum

SAME_SOUND = 0.999  # correlation above which two stems count as the same

BLEED_SHARE, BLEED_CLEARNESS = 0.03, 10.5  # peak of GCC-PHAT, absolute and in standard deviations

TAIL_DB = -70.0  # level relative to the highest bin below which bins of a spectrum are ignored

BLEED_SECONDS, BLEED_REACH_SECONDS, BLEED_PARTS = 1.0, 0.01, 3

SAME_SONG_SIMILARITY = 0.7  # correlation of `song_features` above which songs count as the same

BAND_COUNT, BAND_HZ = 16, (60.0, 8000.0)

FEATURE_SECONDS, FEATURE_HOP_SECONDS = 0.2, 0.05


class Finding(NamedTuple):
    """A fault of a track or of one of its stems."""

    severity: str  # "error" or "warning"
    check: str
    split: str
    track: str
    stem: str  # empty for a fault of the whole track
    text: str


class StemLevel(NamedTuple):
    """Level and coverage of one stem."""

    split: str
    track: str
    stem: str
    seconds: float
    level_db: float  # RMS
    peak_db: float
    coverage: float  # share of the frames of 0.1 s in which it is audible


class Examination(NamedTuple):
    """Results for one track: faults, levels, and features of the song."""

    findings: list[Finding]
    levels: list[StemLevel]
    features: np.ndarray  # (bands, frames), see `song_features`


def examine(track: Track) -> Examination:
    """Decode a track and run all checks that need no other track.

    Raises:
        InputError: the track cannot be read.
    """
    mixture, stems = (part.numpy() for part in track.read())
    sounds = dict(zip(track.stems, stems, strict=True))
    heard = {stem: sound for stem, sound in sounds.items() if stem not in track.absent}
    faults = [(*fault, stem) for stem, sound in heard.items() for fault in stem_faults(sound)]
    pairs = chain(duplicate_stems(sounds), bleeding_stems(sounds, track.sample_rate))
    faults += [(*fault, "") for fault in pairs]
    if track.changes:
        faults.append(("warning", "changed", track.changes, ""))
    if track.has_mixture:
        faults += mixture_faults(sounds, mixture)
    findings = [
        Finding(severity, check, track.split, track.name, stem, text)
        for severity, check, text, stem in faults
    ]
    levels = [stem_level(track, stem, sound) for stem, sound in sounds.items()]
    return Examination(findings, levels, song_features(stems.sum(0).mean(0), track.sample_rate))


def stem_level(track: Track, stem: str, sound: np.ndarray) -> StemLevel:
    """Level, peak and coverage of one stem."""
    moment = max(1, round(MOMENT_SECONDS * track.sample_rate))
    whole = sound[:, : sound.shape[1] // moment * moment]
    moments = np.square(whole).reshape(len(sound), -1, moment).mean((0, 2))
    coverage = float((moments > 10 ** (AUDIBLE_DB / 10)).mean()) if len(moments) else 0.0
    return StemLevel(
        track.split,
        track.name,
        stem,
        sound.shape[1] / track.sample_rate,
        power_to_db(mean_power(sound)),
        power_to_db(float(np.abs(sound).max()) ** 2),
        coverage,
    )


def stem_faults(sound: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """Yield severity, check and text of every fault of a single stem."""
    peak = float(np.abs(sound).max())
    if power_to_db(peak**2) < SILENT_DB:
        yield "warning", "silent", f"peak {power_to_db(peak**2):.0f} dB"
        return
    if power_to_db(peak**2) > LOUD_DB:
        text = f"peak {power_to_db(peak**2):.1f} dB above full scale, which pool=int16 clips"
        yield "warning", "loud", text
    size = np.abs(sound)
    top = int((size >= 0.9999 * peak).sum())
    below = int((size >= 0.99 * peak).sum()) - top
    if top >= CLIPPED_SAMPLES and top > below:
        yield "warning", "clipped", f"{top} samples at the peak of {power_to_db(peak**2):.1f} dB"
    offset = float(np.abs(sound.mean(1, dtype=np.float64)).max())
    if offset > DC_LEVEL and offset > DC_SHARE * float(sound.std()):
        yield "warning", "dc", f"offset {offset:.4f}"
    if len(sound) == 2:
        side = mean_power(sound[0] - sound[1]) / max(mean_power(sound[0] + sound[1]), 1e-20)
        if power_to_db(side) < MONO_DB:
            yield "warning", "mono", "both channels are the same"


def duplicate_stems(sounds: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str, str]]:
    """Yield severity, check and text for every pair of identical stems."""
    for one, two in combinations(sounds, 2):
        if is_same(sounds[one], sounds[two]):
            yield "error", "duplicate", f"{one} and {two} are the same sound"


def bleeding_stems(sounds: Mapping[str, np.ndarray], rate: int) -> Iterator[tuple[str, str, str]]:
    """Yield severity, check and text for pairs of stems with bleed, delayed by at most 10 ms.

    The generalised cross-correlation with phase transform (GCC-PHAT; Knapp and Carter, 1976) is
    computed for every second. Common sound gives a sharp peak at the same delay in most seconds.
    """
    length = min(round(BLEED_SECONDS * rate), next(iter(sounds.values())).shape[1])
    reach = round(BLEED_REACH_SECONDS * rate)
    points = next_fast_len(length + reach, real=True)
    parts = {name: parts_of(sound, length) for name, sound in sounds.items()}
    heard = {name: np.square(p).mean(1) > 10 ** (AUDIBLE_DB / 10) for name, p in parts.items()}
    spectra = {name: without_tail(rfft(part, points)) for name, part in parts.items()}
    for one, two in combinations(sounds, 2):
        both = heard[one] & heard[two]
        if both.sum() < BLEED_PARTS or is_same(sounds[one], sounds[two]):
            continue
        cross = spectra[one][both] * spectra[two][both].conj()
        common = irfft(cross / np.maximum(np.abs(cross), 1e-12), points)
        near = np.median(np.concatenate([common[:, -reach:], common[:, : reach + 1]], 1), 0)
        peak, lag = float(np.abs(near).max()), int(np.abs(near).argmax()) - reach
        if peak > BLEED_SHARE and peak > BLEED_CLEARNESS * float(near.std()):
            text = f"{one} and {two} have sound in common, {lag:+d} samples apart ({peak:.2f})"
            yield "warning", "bleed", text


def without_tail(spectra: np.ndarray) -> np.ndarray:
    """Spectra `(parts, freq)` with zeros in bins that hold only side lobes and rounding errors."""
    size = np.abs(spectra)
    return spectra * (size > 10 ** (TAIL_DB / 20) * size.max(1, keepdims=True))


def is_same(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two sounds are equal up to a gain; False if one is silent."""
    powers = mean_power(one) * mean_power(two)
    return powers > 1e-16 and float(np.mean(one * two, dtype=np.float64)) > SAME_SOUND * powers**0.5


def parts_of(sound: np.ndarray, length: int) -> np.ndarray:
    """Consecutive mono parts `(parts, length)` under a Hann window."""
    mono = sound.mean(0)
    window = np.hanning(length).astype(mono.dtype)
    return window * mono[: len(mono) // length * length].reshape(-1, length)


def mixture_faults(
    sounds: Mapping[str, np.ndarray], mixture: np.ndarray
) -> Iterator[tuple[str, str, str, str]]:
    """Yield severity, check, text and stem if the mixture is not the sum of the stems.

    If a shift of the mixture or of one stem explains the difference, the text names it.
    """
    total = np.sum(list(sounds.values()), 0)
    rest = level_in(mixture - total, mixture)
    if rest < SUM_WARNING_DB:
        if REST in sounds:
            yield from rest_faults(total - sounds[REST], mixture)
        return
    moved = {"mixture": -lag_of(mixture, total)}
    moved |= {stem: lag_of(sound, mixture - total + sound) for stem, sound in sounds.items()}
    left = {
        name: level_in(without_shift(name, lag, sounds, mixture, total), mixture)
        for name, lag in moved.items()
        if lag
    }
    culprit = min(left, key=lambda name: left[name], default=None)
    if culprit is not None and left[culprit] < rest - 6:
        stem = "" if culprit == "mixture" else culprit
        late = -moved[culprit]
        yield "error", "misaligned", f"{culprit} is {late:+d} samples late", stem
        return
    gain = float(np.mean(mixture * total) / max(mean_power(total), 1e-20))
    text = f"mixture - sum of stems is at {rest:.0f} dB of the mixture (gain {gain:.2f})"
    yield ("error" if rest > SUM_ERROR_DB else "warning"), "sum", text, ""


def rest_faults(others: np.ndarray, mixture: np.ndarray) -> Iterator[tuple[str, str, str, str]]:
    """Yield severity, check, text and stem if a mixture seems not to hold the stems beside `rest`.

    Then the mixture minus these stems holds them twice and is louder.
    """
    louder = level_in(mixture - others, mixture)
    if louder > REST_ERROR_DB:
        text = f"the mixture is {louder:.1f} dB louder without the other stems than with them"
        late = -lag_of(others, mixture)
        if level_in(mixture - best_shift(others, -late), mixture) < 0:
            yield "error", "misaligned", f"{text}: they are {late:+d} samples late", REST
        else:
            yield "error", "sum", text, REST


def lag_of(sound: np.ndarray, reference: np.ndarray) -> int:
    """Number of samples by which `sound` must be delayed to match `reference` best."""
    points = next_fast_len(2 * sound.shape[-1], real=True)
    product = rfft(reference.mean(0), points) * rfft(sound.mean(0), points).conj()
    lag = int(np.argmax(irfft(product, points)))
    return lag if lag < points // 2 else lag - points


def without_shift(
    name: str, lag: int, sounds: Mapping[str, np.ndarray], mixture: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Mixture minus the sum of the stems, with one of them or the mixture shifted back."""
    if name == "mixture":
        return best_shift(mixture, -lag) - total
    return mixture - total + sounds[name] - best_shift(sounds[name], lag)


def best_shift(sound: np.ndarray, lag: int) -> np.ndarray:
    """`sound` delayed by `lag` samples, padded with zeros."""
    moved = np.zeros_like(sound)
    if lag >= 0:
        moved[:, lag:] = sound[:, : sound.shape[1] - lag]
    else:
        moved[:, :lag] = sound[:, -lag:]
    return moved


def song_features(mono: np.ndarray, rate: int) -> np.ndarray:
    """Changes of the log energy in each band, `(bands, frames)`, independent of gain and rate."""
    size, hop = round(FEATURE_SECONDS * rate), round(FEATURE_HOP_SECONDS * rate)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(mono, (0, size)), size)[::hop]
    edges = np.geomspace(*BAND_HZ, BAND_COUNT + 1) * size / rate
    bins = np.minimum(np.round(edges).astype(int), size // 2)
    energies = []
    for part in np.array_split(frames, len(frames) // 256 + 1):  # limits memory
        spectrum = np.square(np.abs(rfft(part * np.hanning(size).astype(part.dtype))))
        cumulated = np.cumsum(np.pad(spectrum, ((0, 0), (1, 0))), 1, np.float64)
        energies.append(cumulated[:, bins[1:]] - cumulated[:, bins[:-1]])
    bands = np.concatenate(energies).T
    level = np.log(bands + 1e-6 * bands.mean(1, keepdims=True) + 1e-12)
    change = level[:, 2:] - level[:, :-2]
    return change / max(float(change.std()), 1e-9)


def same_song(one: np.ndarray, two: np.ndarray) -> float:
    """Highest correlation, -1 to 1, of the shorter features with any part of the longer ones."""
    short, long = sorted((one, two), key=lambda part: part.shape[1])
    points = next_fast_len(long.shape[1] + short.shape[1], real=True)
    product = (rfft(long, points) * rfft(short, points).conj()).sum(0)
    places = long.shape[1] - short.shape[1] + 1
    correlation = irfft(product, points)[:places]
    energy = np.cumsum(np.pad(np.square(long).sum(0), (1, 0)))
    here = energy[short.shape[1] :] - energy[:places]
    return float((correlation / np.sqrt(here * np.square(short).sum() + 1e-12)).max())
