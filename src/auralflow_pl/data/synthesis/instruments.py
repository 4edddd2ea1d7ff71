"""Synthetic bass and accompaniment: bass line, plucked and sustained chords, lead."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from auralflow_pl.data.synthesis.score import MusicalScore, Note
from auralflow_pl.data.synthesis.tones import (
    SongSignal,
    add_at,
    beat_samples,
    colour_noise,
    fade,
    midi_to_hz,
    oscillate,
    saw,
    time_axis,
    wavetable,
)

# Onsets in beats and intervals above the root in semitones; a song uses one riff.
BASS_RIFFS = (
    ((0, 0), (1, 0), (2, 0), (3, 0)),
    ((0, 0), (1.5, 0), (2, 12), (3.5, 7)),
    ((0, 0), (0.5, 0), (1, 0), (1.5, 0), (2, 0), (2.5, 0), (3, 7), (3.5, 7)),
    ((0, 0), (2, 7)),
    ((0, 0), (0.75, 12), (1.5, 0), (2.5, 7), (3, 12)),
)


def play_bass(rng: np.random.Generator, score: MusicalScore) -> SongSignal:
    """Synthesise the bass stem, mono, `(time,)`: a riff on the root of each bar's chord."""
    track = np.zeros(beat_samples(score.seconds), dtype=np.float32)
    riff = BASS_RIFFS[rng.integers(len(BASS_RIFFS))]
    brightness, decay = rng.uniform(0.45, 0.85), rng.uniform(0.5, 4.0)
    cutoff = rng.uniform(400, 1800)
    for start, number, _ in score.bars("bass"):
        root = score.chord(number)[0] - 12
        root = root - 12 if root > 47 else root
        for index, (onset, interval) in enumerate(riff):
            until = riff[index + 1][0] if index + 1 < len(riff) else 4.0
            length = (until - onset) * score.beat * rng.uniform(0.7, 0.98)
            t = time_axis(length)
            tone = saw(float(midi_to_hz(root + interval)), len(t), rng.random(), brightness)
            tone = fade(tone * np.exp(-decay * t), 0.006, 0.02) * np.float32(rng.uniform(0.8, 1.0))
            add_at(track, tone, start + onset * score.beat + rng.normal(0, 0.004))
    return colour_noise(track, None, cutoff)


class Pluck:
    """A plucked or struck string: a sum of partials, of which higher ones decay faster."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.decay = rng.uniform(1.2, 4.0)
        self.tilt = rng.uniform(0.8, 1.6)
        self.stretch = rng.uniform(0.0, 4e-4)  # inharmonicity of a stiff string
        self.position = rng.uniform(0.1, 0.45)  # plucking position as a share of the length
        self.sound = lru_cache(maxsize=None)(self._sound)

    def _sound(self, pitch: int, seconds: float) -> SongSignal:
        t = time_axis(seconds)
        base = float(midi_to_hz(pitch))
        sound = np.zeros_like(t)
        for k in range(1, max(2, min(18, int(12000 / base)))):
            frequency = k * base * np.sqrt(1 + self.stretch * k * k)
            level = np.abs(np.sin(np.pi * k * self.position)) / k**self.tilt
            sound += (
                level
                * np.exp(-self.decay * (0.5 + 0.5 * k) * t)
                * np.sin(2 * np.pi * frequency * t)
            )
        return fade(sound, 0.002, 0.03)


def play_plucked(rng: np.random.Generator, score: MusicalScore) -> SongSignal:
    """Synthesise arpeggios or strummed chords, mono, `(time,)`."""
    track = np.zeros(beat_samples(score.seconds), dtype=np.float32)
    string, strum = Pluck(rng), rng.random() < 0.5
    division = float(rng.choice([0.5, 0.5, 1.0]))
    order = rng.permutation(6)
    for start, number, _ in score.bars("other"):
        chord = score.chord(number)
        voicing = [*chord, chord[0] + 12, chord[1] + 12, chord[2] + 12]
        for index in range(int(4 / division)):
            when = start + index * division * score.beat + rng.normal(0, 0.004)
            if not strum:
                sound = string.sound(voicing[order[index % 6]], 1.0)
                add_at(track, sound * np.float32(rng.uniform(0.5, 1.0)), when)
            elif rng.random() < 0.75:
                for offset, pitch in enumerate(voicing):
                    add_at(track, string.sound(pitch, 0.8) * np.float32(0.4), when + 0.012 * offset)
    return track


def play_pad(rng: np.random.Generator, score: MusicalScore) -> SongSignal:
    """Synthesise sustained chords of detuned saws or an organ, mono, `(time,)`."""
    track = np.zeros(beat_samples(score.seconds), dtype=np.float32)
    organ = rng.random() < 0.4
    drawbars = wavetable(rng.uniform(0.0, 0.4, 8).astype(np.float32) / np.arange(1, 9))
    octave, detune = int(rng.choice([0, 12])), rng.uniform(0.002, 0.006)
    for start, number, _ in score.bars("other"):
        length = beat_samples(score.bar * 1.03)
        chord = np.zeros(length, dtype=np.float32)
        for pitch in score.chord(number):
            base = float(midi_to_hz(pitch + octave))
            if organ:
                chord += oscillate(drawbars, base, length, rng.random())
            else:
                for shift in (1 - detune, 1 + detune):
                    chord += 0.3 * saw(base * shift, length, rng.random(), 0.8)
        add_at(track, fade(chord, rng.uniform(0.02, 0.2), 0.1), start)
    return colour_noise(track, 120, rng.uniform(2000, 7000))


def play_lead(rng: np.random.Generator, score: MusicalScore, notes: list[Note]) -> SongSignal:
    """Synthesise a lead line of `notes`, mono, `(time,)`.

    The vibrato keeps a network from recognising voices by vibrato alone.
    """
    track = np.zeros(beat_samples(score.seconds), dtype=np.float32)
    odd = rng.random() < 0.5  # odd harmonics like a clarinet, or all like a violin
    for note in notes:
        t = time_axis(note.duration)
        base = float(midi_to_hz(note.pitch))
        k = np.arange(1, max(2, min(30, int(12000 / base))), dtype=np.float32)
        levels = np.where(k % 2 == 0, 0.1 if odd else 1.0, 1.0) / k**1.3
        bend = 1 + 0.006 * np.sin(2 * np.pi * 5.5 * t) * np.clip(3 * t - 0.5, 0, 1)
        tone = oscillate(wavetable(levels.astype(np.float32)), base * bend, len(t), rng.random())
        add_at(track, fade(tone * np.float32(note.velocity), 0.03, 0.06), note.start)
    return track
