"""Synthetic singer: a glottal source through moving formants, with vibrato, breath and consonants.

The source-filter model of Fant (1960): a band-limited pulse train and noise are filtered, frame by
frame in the frequency domain, by the resonances of the vocal tract.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auralflow_pl.data.synthesis.score import MusicalScore, Note
from auralflow_pl.data.synthesis.tones import (
    SONG_RATE,
    SongSignal,
    beat_samples,
    midi_to_hz,
    oscillate,
    slow_curve,
    wavetable,
    white_noise,
)

FRAME_SAMPLES, HOP_SAMPLES = 1024, 256  # frame length and hop of the filter in samples

SYLLABLE_BEATS = (0.5, 0.5, 0.5, 1.0, 1.0, 1.5, 2.0)

# First three formants in Hz of sung vowels: averages of Peterson and Barney (1952), rounded.
VOWEL_FORMANTS = np.array(
    [
        (730, 1090, 2440),  # a
        (570, 840, 2410),  # o
        (530, 1840, 2480),  # e
        (270, 2290, 3010),  # i
        (300, 870, 2240),  # u
        (660, 1720, 2410),  # ae
        (490, 1350, 1690),  # er
    ],
    dtype=np.float32,
)

FORMANT_BANDWIDTHS = np.array([80, 100, 140, 220, 300], dtype=np.float32)  # Hz, of formants 1 to 5

FORMANT_GAINS = np.array([1.0, 0.6, 0.35, 0.2, 0.1], dtype=np.float32)

# Centre and width in Hz, and duration in seconds, of consonant noise: s, sh, f, t, k.
CONSONANT_BANDS = (
    (7500, 2500, 0.11),
    (3800, 1600, 0.11),
    (6000, 5000, 0.08),
    (5000, 3000, 0.03),
    (2200, 1200, 0.035),
)


@dataclass(frozen=True)
class Singer:
    """Parameters of a voice."""

    low: int  # lowest MIDI pitch of the range
    tract: float  # formant scale: > 1 for a shorter vocal tract
    tilt: float  # spectral slope of the source: harmonic k has 1 / k ** tilt
    vibrato_hz: float
    vibrato_cents: float
    breath: float
    glide: float  # seconds


def draw_singer(rng: np.random.Generator) -> Singer:
    """Draw a random voice, from low and dark to high and bright."""
    low = int(rng.integers(43, 62))
    height = (low - 43) / 19
    return Singer(
        low=low,
        tract=float(0.92 + 0.22 * height + rng.normal(0, 0.03)),
        tilt=float(rng.uniform(0.6, 1.2)),
        vibrato_hz=float(rng.uniform(4.8, 6.8)),
        vibrato_cents=float(rng.uniform(5, 60)),
        breath=float(rng.uniform(0.01, 0.08)),
        glide=float(rng.uniform(0.03, 0.09)),
    )


def melody(rng: np.random.Generator, score: MusicalScore, stem: str, low: int) -> list[Note]:
    """Draw phrases of about a bar within an octave and a fifth above `low`, with rests between."""
    scale = [p for p in range(low, low + 19) if (p - score.tonic) % 12 in score.scale]
    place = len(scale) // 2
    notes: list[Note] = []
    for start, number, _ in score.bars(stem):
        if notes and rng.random() < 0.15:  # a bar of rest
            continue
        beat, end = float(rng.choice([0.0, 0.0, 0.5, 1.0])), float(rng.choice([3.0, 3.5, 4.0]))
        while beat < end:
            length = min(float(rng.choice(SYLLABLE_BEATS)), end - beat)
            place = int(np.clip(place + rng.integers(-2, 3), 0, len(scale) - 1))
            if beat == 0.0:  # a note on the first beat is a chord tone
                chord = {p % 12 for p in score.chord(number)}
                place = min(
                    (i for i, p in enumerate(scale) if p % 12 in chord),
                    key=lambda i: abs(i - place),
                )
            sung = length * score.beat * float(rng.uniform(0.85, 1.0))
            when = start + beat * score.beat
            notes.append(Note(when, sung, scale[place], float(rng.uniform(0.6, 1.0))))
            beat += length
    return notes


def sing(rng: np.random.Generator, score: MusicalScore) -> SongSignal:
    """Synthesise the vocal stem, mono, `(time,)`."""
    length = beat_samples(score.seconds)
    singer = draw_singer(rng)
    notes = melody(rng, score, "vocals", singer.low)
    if not notes:
        return np.zeros(length, dtype=np.float32)
    frames = 1 + length // HOP_SAMPLES
    voicing, noise, pitch, formants, bands = articulate(rng, singer, notes, frames)
    source = glottal_source(rng, singer, pitch, length)
    breath = white_noise(rng, length)
    tract = tract_response(formants * singer.tract)
    voiced = filter_frames(source + singer.breath * breath, tract * voicing[:, None])
    hiss = filter_frames(breath, noise_response(bands) * noise[:, None])
    return voiced + hiss


def articulate(
    rng: np.random.Generator, singer: Singer, notes: list[Note], frames: int
) -> tuple[SongSignal, SongSignal, SongSignal, SongSignal, SongSignal]:
    """Compute the control curves of a voice, with one value per frame.

    Returns:
        voicing level, consonant level, pitch in MIDI numbers (each `(frames,)`), formant
        frequencies in Hz `(frames, 3)`, and centre and width of the noise in Hz `(frames, 2)`.
    """
    rate = SONG_RATE / HOP_SAMPLES
    voicing, noise = np.zeros((2, frames), dtype=np.float32)
    pitch = np.full(frames, notes[0].pitch, dtype=np.float32)
    formants = np.tile(VOWEL_FORMANTS[0], (frames, 1))
    bands = np.tile(np.float32([5000, 3000]), (frames, 1))
    vowel = int(rng.integers(len(VOWEL_FORMANTS)))
    for note in notes:
        first, last = int(note.start * rate), min(frames, int((note.start + note.duration) * rate))
        if last - first < 4:
            continue
        onset = first
        if rng.random() < 0.6:
            centre, width, seconds = CONSONANT_BANDS[rng.integers(len(CONSONANT_BANDS))]
            onset = min(first + max(2, int(seconds * rate)), last - 2)
            noise[first:onset] = rng.uniform(0.08, 0.3) * np.hanning(onset - first + 2)[1:-1]
            bands[first:onset] = centre * rng.uniform(0.85, 1.15), width
        size = last - onset
        edge = min(size // 2, int(0.03 * rate) + 1)
        level = np.ones(size, dtype=np.float32)
        level[:edge] = np.linspace(0.1, 1, edge)
        level[size - edge :] *= np.linspace(1, 0.0, edge)
        swell = 1 + 0.25 * np.sin(np.pi * np.linspace(0, 1, size))
        voicing[onset:last] = note.velocity * level * swell
        start_vowel, vowel = vowel, int(rng.integers(len(VOWEL_FORMANTS)))
        morph = np.clip(np.arange(size) / (0.06 * rate), 0, 1)[:, None]
        formants[onset:last] = (1 - morph) * VOWEL_FORMANTS[start_vowel] + morph * VOWEL_FORMANTS[
            vowel
        ]
        seconds_in = np.arange(size) / rate
        depth = singer.vibrato_cents / 100 * np.clip((seconds_in - 0.15) / 0.3, 0, 1)
        pitch[first:] = note.pitch
        pitch[onset:last] += depth * np.sin(2 * np.pi * singer.vibrato_hz * seconds_in)
    return voicing, noise, smooth(pitch, int(singer.glide * rate)), smooth(formants, 6), bands


def smooth(curve: SongSignal, width: int) -> SongSignal:
    """Moving average over `width` frames along the first axis; the edges are repeated."""
    if width < 2:
        return curve
    padded = np.pad(
        curve, [(width // 2, width - 1 - width // 2)] + [(0, 0)] * (curve.ndim - 1), "edge"
    )
    total = np.cumsum(np.concatenate([np.zeros_like(padded[:1]), padded]), axis=0, dtype=np.float64)
    return ((total[width:] - total[:-width]) / width).astype(np.float32)


def glottal_source(
    rng: np.random.Generator, singer: Singer, pitch: SongSignal, length: int
) -> SongSignal:
    """Band-limited pulse train with jitter that follows the pitch curve, `(length,)`."""
    at = np.arange(length, dtype=np.float32) / HOP_SAMPLES
    drift = slow_curve(rng, length, 0.05, 0.04) + slow_curve(rng, length, 0.4, 0.08)
    frequency = midi_to_hz(np.interp(at, np.arange(len(pitch)), pitch) + drift)
    harmonics = int(min(100, 16000 / frequency.max()))
    k = np.arange(1, harmonics + 1, dtype=np.float32)
    return oscillate(wavetable(1 / k**singer.tilt), frequency, length)


def tract_response(formants: SongSignal) -> SongSignal:
    """Magnitude response `(frames, bins)` of the vocal tract from formants `(frames, 3)` in Hz.

    A sum of resonances `1 / (1 + ((f - F) / (B / 2)) ** 2) ** 0.5`; formants 4 and 5 are fixed
    multiples of the third.
    """
    peaks = np.concatenate([formants, formants[:, 2:] * 1.38, formants[:, 2:] * 1.75], axis=1)
    bins = np.fft.rfftfreq(FRAME_SAMPLES, 1 / SONG_RATE).astype(np.float32)
    response = np.full((len(peaks), len(bins)), 0.01, dtype=np.float32)
    for index in range(peaks.shape[1]):
        offset = (bins - peaks[:, index, None]) * (2 / FORMANT_BANDWIDTHS[index])
        response += FORMANT_GAINS[index] / np.sqrt(1 + offset * offset)
    return response


def noise_response(bands: SongSignal) -> SongSignal:
    """Gaussian bands `(frames, bins)` of consonants from `(frames, 2)` centres and widths in Hz."""
    bins = np.fft.rfftfreq(FRAME_SAMPLES, 1 / SONG_RATE).astype(np.float32)
    return np.exp(-0.5 * ((bins - bands[:, :1]) / bands[:, 1:]) ** 2)


def filter_frames(source: SongSignal, response: SongSignal) -> SongSignal:
    """Filter `(time,)` with one zero-phase magnitude response per frame, by overlap-add.

    Periodic Hann windows with a hop of a quarter of their length sum to the constant 2.
    """
    frames = len(response)
    padded = np.pad(source, (FRAME_SAMPLES // 2, FRAME_SAMPLES + HOP_SAMPLES))
    parts = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[
        : frames * HOP_SAMPLES : HOP_SAMPLES
    ]
    window = (np.hanning(FRAME_SAMPLES + 1)[:-1] / 2).astype(np.float32)
    shaped = np.fft.irfft(np.fft.rfft(parts * window, axis=1) * response, FRAME_SAMPLES, axis=1)
    out = np.zeros(frames * HOP_SAMPLES + FRAME_SAMPLES, dtype=np.float32)
    for quarter in range(
        FRAME_SAMPLES // HOP_SAMPLES
    ):  # frames of one residue class do not overlap
        part = shaped[quarter :: FRAME_SAMPLES // HOP_SAMPLES].astype(np.float32).reshape(-1)
        out[quarter * HOP_SAMPLES : quarter * HOP_SAMPLES + len(part)] += part[
            : len(out) - quarter * HOP_SAMPLES
        ]
    return out[FRAME_SAMPLES // 2 : FRAME_SAMPLES // 2 + len(source)]
