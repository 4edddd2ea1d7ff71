"""Singing voice from recorded speech with the WORLD vocoder, for `render_songs.py`.

Syllables of speech are analysed and resynthesised on the notes of a melody. Needs `pip install
pyworld` (WORLD: Morise et al., 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pyworld

from auralflow_pl.data.synthesis.score import Note
from auralflow_pl.data.synthesis.tones import SONG_RATE, SongSignal, beat_samples, midi_to_hz
from auralflow_pl.data.synthesis.voice import smooth

PERIOD = 0.005  # seconds between frames
SPEECH_RATE = 16000  # Hz, at which speech is analysed
BINS = 513  # frequencies of an envelope, from 0 to SPEECH_RATE / 2
EDGE_HZ = 7000  # upper limit of the recordings; envelopes are extrapolated above it
FALL_DB = 12.0  # slope of the extrapolated envelope, dB per octave
LEAD = 16  # frames of the consonant that are kept before a vowel
SHORTEST, LONGEST = 14, 40  # length of a syllable in frames
SILENCE = 1e-9  # lower limit of the power in envelopes
RAW_FORMATS = {".g722": "g722", ".gsm": "gsm"}  # files without a header


@dataclass(frozen=True)
class Syllable:
    """Vocoder parameters of a syllable."""

    envelope: np.ndarray  # (frames, BINS), natural logarithm of power
    aperiodicity: np.ndarray  # (frames, BINS), from 0 to 1
    voiced: np.ndarray  # (frames,)


@dataclass(frozen=True)
class Bank:
    """The syllables of one speaker."""

    name: str
    syllables: tuple[Syllable, ...]
    pitch: float  # median pitch of the speech as a MIDI number


@dataclass(frozen=True)
class Style:
    """Parameters of a singing style."""

    warp: float  # factor of the formant frequencies
    vibrato_hz: float
    vibrato_cents: float
    glide: float  # seconds
    breath: float  # aperiodicity that is added above 1.5 kHz
    tilt_db: float  # spectral tilt in dB per octave
    shift: float = 0.0  # transposition in semitones


def draw_style(rng: np.random.Generator, above: float) -> Style:
    """Draw a style for a melody that lies `above` semitones over the speech."""
    return Style(
        warp=float(np.clip(2 ** (above / 60) * np.exp(rng.normal(0, 0.1)), 0.75, 1.4)),
        vibrato_hz=float(rng.uniform(4.5, 7)),
        vibrato_cents=float(rng.choice([0, 10, 25, 50]) * rng.uniform(0.5, 1.5)),
        glide=float(rng.uniform(0.01, 0.09)),
        breath=float(max(0, rng.uniform(-0.1, 0.2))),
        tilt_db=float(rng.normal(0, 1.5)),
    )


def load_bank(folder: Path, rng: np.random.Generator, most: int = 300) -> Bank:
    """Load about `most` syllables from the recordings below a folder, in random order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found: list[tuple[Syllable, float]] = []
    for number in rng.permutation(len(paths)):
        if len(found) >= most:
            break
        found += analyse(read_speech(paths[number]))
    pitch = 69 + 12 * math.log2(float(np.median([hz for _, hz in found])) / 440)
    return Bank(folder.name, tuple(syllable for syllable, _ in found), pitch)


def read_speech(path: Path) -> np.ndarray:
    """Read mono speech at `SPEECH_RATE`, `(time,)` in float64; one zero for other files."""
    try:
        with av.open(str(path), format=RAW_FORMATS.get(path.suffix)) as container:
            resampler = av.AudioResampler("flt", "mono", SPEECH_RATE)
            parts = [
                part.to_ndarray()[0]
                for frame in container.decode(audio=0)
                for part in resampler.resample(frame)
            ]
    except (av.FFmpegError, IndexError):
        return np.zeros(1)
    return np.concatenate(parts).astype(np.float64)


def analyse(speech: np.ndarray) -> list[tuple[Syllable, float]]:
    """Analyse the syllables of a recording; return them with their pitches in Hz."""
    level = np.sqrt(np.mean(speech**2))
    if level < 1e-4:
        return []
    speech = speech * (0.1 / level)
    coarse, at = pyworld.dio(speech, SPEECH_RATE, 70, 500, frame_period=1000 * PERIOD)
    pitch = pyworld.stonemask(speech, coarse, at, SPEECH_RATE)
    size = 2 * (BINS - 1)
    power = pyworld.cheaptrick(speech, pitch, at, SPEECH_RATE, fft_size=size)
    aperiodicity = pyworld.d4c(speech, pitch, at, SPEECH_RATE, fft_size=size)
    envelope, voiced = np.log(power + SILENCE).astype(np.float32), pitch > 0
    return [
        (
            Syllable(
                envelope[lead:end], aperiodicity[lead:end].astype(np.float32), voiced[lead:end]
            ),
            float(np.median(pitch[begin:end])),
        )
        for lead, begin, end in cut(voiced)
    ]


def cut(voiced: np.ndarray) -> list[tuple[int, int, int]]:
    """First frame, first voiced frame and end of every syllable; long vowels are divided."""
    edges = np.flatnonzero(np.diff(np.r_[0, voiced.astype(np.int8), 0]))
    found = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        for begin in range(first, last - SHORTEST + 1, LONGEST):
            end = last if last - begin < 2 * LONGEST else begin + LONGEST
            found.append((max(0, begin - LEAD) if begin == first else begin, begin, end))
            if end == last:
                break
    return found


def places(syllable: Syllable, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Frame of the syllable for each frame of a note; consonants keep their speed."""
    size, lead = len(syllable.voiced), int(np.argmax(syllable.voiced))
    if frames <= size:
        return np.clip(np.arange(frames) + max(0, lead - frames // 3), 0, size - 1)
    course = np.linspace(0, 1, frames - lead) ** rng.uniform(0.8, 1.3)
    return np.round(np.r_[np.arange(lead), lead + course * (size - lead - 1)]).astype(int)


def sing(
    bank: Bank, style: Style, notes: Sequence[Note], seconds: float, rng: np.random.Generator
) -> SongSignal:
    """Synthesise notes with one syllable each, mono `(time,)`."""
    frames = int(seconds / PERIOD) + 1
    envelope = np.full((frames, BINS), np.log(SILENCE), np.float32)
    aperiodicity = np.ones((frames, BINS), np.float32)
    pitch, gain = np.full(frames, notes[0].pitch, np.float32), np.zeros(frames, np.float32)
    voiced = np.zeros(frames, bool)
    for note in notes:
        first = int(note.start / PERIOD)
        size = min(frames - first, int(note.duration / PERIOD))
        if size < SHORTEST:
            continue
        syllable, part = (
            bank.syllables[rng.integers(len(bank.syllables))],
            slice(first, first + size),
        )
        place = places(syllable, size, rng)
        envelope[part], voiced[part] = syllable.envelope[place], syllable.voiced[place]
        aperiodicity[part] = syllable.aperiodicity[place]
        loudness = np.exp(0.5 * syllable.envelope[:, 5:200]).mean(1)
        gain[part] = note.velocity / max(1e-6, np.percentile(loudness, 80))
        fall = min(size // 3, 10)
        gain[first + size - fall : first + size] *= np.linspace(1, 0.05, fall)
        at = np.arange(size) * PERIOD
        depth = style.vibrato_cents / 100 * np.clip((at - 0.2) / 0.3, 0, 1)
        pitch[first:] = note.pitch + rng.normal(0, 0.1)
        pitch[part] += depth * np.sin(2 * np.pi * style.vibrato_hz * at)
    knots = np.arange(0, frames + 20, 20)
    drift = np.interp(np.arange(frames), knots, rng.normal(0, 0.08, len(knots)))
    pitch = smooth(pitch, max(1, int(style.glide / PERIOD))) + drift + style.shift
    hz = np.where(voiced, midi_to_hz(pitch), 0.0)
    return synthesise(hz, envelope, aperiodicity, gain, style)[: beat_samples(seconds)]


def synthesise(
    pitch: np.ndarray,
    envelope: np.ndarray,
    aperiodicity: np.ndarray,
    gain: np.ndarray,
    style: Style,
) -> SongSignal:
    """Synthesise sound at `SONG_RATE` from vocoder frames, with the formants of the style."""
    hz = np.linspace(0, SONG_RATE / 2, 1025)
    source = np.clip(hz / style.warp, 0, EDGE_HZ) / (SPEECH_RATE / 2) * (BINS - 1)
    low = np.minimum(source.astype(int), BINS - 2)
    part = (source - low).astype(np.float32)
    octaves = np.log2(np.maximum(hz, 200) / 1000)
    beyond = np.log2(np.maximum(hz / style.warp / EDGE_HZ, 1))
    slope = np.log(10) / 10 * (style.tilt_db * octaves - FALL_DB * beyond)
    full = envelope[:, low] * (1 - part) + envelope[:, low + 1] * part + slope.astype(np.float32)
    full += 2 * np.log(np.maximum(gain, 1e-5))[:, None]
    rough = aperiodicity[:, low] * (1 - part) + aperiodicity[:, low + 1] * part
    rough = np.clip(rough + style.breath * (hz > 1500), 1e-3, 1)
    sound = pyworld.synthesize(
        np.ascontiguousarray(pitch, np.float64),
        np.ascontiguousarray(np.exp(full), np.float64),
        np.ascontiguousarray(rough, np.float64),
        SONG_RATE,
        1000 * PERIOD,
    )
    return sound.astype(np.float32)
