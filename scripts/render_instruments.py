"""Accompaniment from a score on sampled instruments, for `render_songs.py`.

Needs `pip install tinysoundfont`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tinysoundfont

from auralflow_pl.data.synthesis.score import MusicalScore, Note
from auralflow_pl.data.synthesis.song import normalise
from auralflow_pl.data.synthesis.tones import SONG_RATE, SongSignal, beat_samples
from auralflow_pl.data.synthesis.voice import melody

DRUMS = 128  # MIDI bank of the drum kits
KITS = (0, 0, 8, 16, 24, 25, 32, 40, 48)
BASSES = range(32, 40)
# General MIDI programs, counted from 0, for each style of accompaniment.
PROGRAMS = {
    "pad": (16, 17, 18, 19, 20, 21, 48, 49, 50, 51, 52, 53, 61, 62, 88, 89, 90, 91, 92, 94, 95),
    "comp": (*range(8), 11, 16, 18, *range(24, 31), 45, 55, 61, 62, 105, 107),
    "arp": (*range(14), 24, 25, 26, 27, 45, 46, 80, 81, 82, 84, 87, 98, 104, 106, 108),
    "power": (29, 30, 30, 81),
    "lead": (
        *(4, 11, 12, 18, 21, 22, 26, 27, 29, 30, 40, 41, 42, 56, 57, 59, 60),
        *range(64, 76),
        *(78, 79, 80, 81, 82, 84, 85, 86, 87, 104, 109, 110, 111),
    ),
}
LAYER_CHANCES = {"pad": 0.23, "comp": 0.22, "arp": 0.2, "power": 0.1, "lead": 0.25}
BASS_LINES = (  # onset and length in beats
    ((0, 4),),
    tuple((beat, 0.5) for beat in np.arange(0, 4, 0.5)),
    tuple((beat, 1) for beat in range(4)),
    ((0, 1.5), (1.5, 0.5), (2, 1), (3, 1)),
)
HATS = (42, 42, 44, 46, 51, 53, 70, 54)
SNARES, KICKS, CRASHES = (38, 38, 40, 37, 39), (35, 36), (49, 57, 55)
TOMS = (41, 43, 45, 47, 48, 50)
PERCUSSION = (56, 60, 61, 62, 63, 64, 65, 69, 75, 76)


class Font:
    """A General MIDI soundfont that renders notes.

    Args:
        path: an SF2 or SF3 file.
    """

    def __init__(self, path: str) -> None:
        self.synth = tinysoundfont.Synth(samplerate=SONG_RATE)
        self.number = self.synth.sfload(path)

    def play(self, bank: int, program: int, notes: Sequence[Note], seconds: float) -> SongSignal:
        """Render notes on one instrument, stereo `(2, time)`."""
        self.synth.sounds_off(0)
        self.synth.program_select(0, self.number, bank, program, bank == DRUMS)
        heard = [note for note in notes if note.start < seconds]
        events = [(note.start + note.duration, False, note) for note in heard]
        events += [(note.start, True, note) for note in heard]
        out, at = np.zeros((2, beat_samples(seconds)), np.float32), 0
        for when, begins, note in sorted(events, key=lambda event: event[:2]):
            at = self.fill(out, at, round(when * SONG_RATE))
            if begins:
                velocity = int(np.clip(127 * note.velocity, 1, 127))
                self.synth.noteon(0, int(note.pitch), velocity)
            else:
                self.synth.noteoff(0, int(note.pitch))
        self.fill(out, at, out.shape[1])
        return out

    def fill(self, out: SongSignal, first: int, last: int) -> int:
        """Render sound from sample `first` to `last` or to the end of `out`; return the end."""
        last = min(last, out.shape[1])
        if last > first:
            block = np.frombuffer(self.synth.generate(last - first), np.float32)
            out[:, first:last] = block.reshape(-1, 2)[: last - first].T
        return max(first, last)


def play_other(rng: np.random.Generator, score: MusicalScore, font: Font) -> SongSignal:
    """Render one to four instruments in different styles, stereo `(2, time)`."""
    chances = list(LAYER_CHANCES.values())
    count = int(rng.choice([1, 2, 2, 3, 3, 4]))
    total = np.zeros((2, beat_samples(score.seconds)), np.float32)
    for kind in rng.choice(list(LAYER_CHANCES), size=count, p=chances):
        program = int(rng.choice(PROGRAMS[kind]))
        sound = font.play(0, program, layer(rng, score, kind), score.seconds)
        balance = rng.uniform(-0.7, 0.7)
        sides = np.minimum(1, 1 + balance * np.float32([[-1], [1]])).astype(np.float32)
        total += normalise(sound, -20 + rng.normal(0, 3)) * sides
    return total


def layer(rng: np.random.Generator, score: MusicalScore, kind: str) -> list[Note]:
    """Write the notes of one instrument."""
    if kind == "lead":
        return melody(rng, score, "other", int(rng.integers(50, 76)))
    write = {"pad": write_pad, "comp": write_comp, "arp": write_arp, "power": write_power}[kind]
    return write(rng, score, int(rng.integers(52, 74)))


def chord_near(score: MusicalScore, bar: int, centre: int) -> list[int]:
    """Pitches of a bar's chord within the octave around `centre`."""
    low = centre - 6
    return sorted(low + (pitch - low) % 12 for pitch in score.chord(bar))


def write_pad(rng: np.random.Generator, score: MusicalScore, centre: int) -> list[Note]:
    """Write one sustained chord per bar."""
    return [
        Note(start, score.bar * 0.98, pitch, rng.uniform(0.4, 0.8))
        for start, number, _ in score.bars("other")
        for pitch in chord_near(score, number, centre)
    ]


def write_comp(rng: np.random.Generator, score: MusicalScore, centre: int) -> list[Note]:
    """Write chords in a constant rhythm."""
    rhythm = [beat for beat in np.arange(0, 4, 0.5) if rng.random() < 0.55] or [0]
    length = rng.choice([0.3, 0.5, 0.9]) * score.beat * 0.5 + 0.05
    return [
        Note(start + beat * score.beat, length, pitch, rng.uniform(0.5, 0.9))
        for start, number, _ in score.bars("other")
        for beat in rhythm
        for pitch in chord_near(score, number, centre)
    ]


def write_arp(rng: np.random.Generator, score: MusicalScore, centre: int) -> list[Note]:
    """Write broken chords over two octaves."""
    step, order = float(rng.choice([0.25, 0.5, 0.5, 1 / 3])), rng.permutation(6)
    notes = []
    for start, number, _ in score.bars("other"):
        chord = chord_near(score, number, centre)
        tones = [*chord, *(pitch + 12 for pitch in chord)]
        for index, beat in enumerate(np.arange(0, 4, step)):
            length = step * score.beat * rng.uniform(0.7, 1.5)
            pitch = tones[order[index % 6]]
            notes.append(Note(start + beat * score.beat, length, pitch, rng.uniform(0.5, 0.9)))
    return notes


def write_power(rng: np.random.Generator, score: MusicalScore, centre: int) -> list[Note]:  # noqa: ARG001
    """Write roots, fifths and octaves of an electric guitar."""
    step = float(rng.choice([0.25, 0.5, 0.5, 1.0, 2.0]))
    notes = []
    for start, number, _ in score.bars("other"):
        root = 38 + (score.chord(number)[0] - 38) % 12
        for beat in np.arange(0, 4, step):
            if rng.random() < 0.85:
                length = step * score.beat * 0.9
                notes += [
                    Note(start + beat * score.beat, length, root + above, rng.uniform(0.6, 1))
                    for above in (0, 7, 12)
                ]
    return notes


def play_bass(rng: np.random.Generator, score: MusicalScore, font: Font) -> SongSignal:
    """Render a bass line of roots with some fifths and octaves."""
    program, line = int(rng.choice(BASSES)), BASS_LINES[rng.integers(len(BASS_LINES))]
    notes = []
    for start, number, _ in score.bars("bass"):
        chord = score.chord(number)
        root = 28 + (chord[0] - 28) % 12
        for index, (beat, length) in enumerate(line):
            above = 0 if index % 2 == 0 else int(rng.choice([0, 0, chord[2] - chord[0], 12]))
            when = start + beat * score.beat
            notes.append(Note(when, length * score.beat * 0.92, root + above, rng.uniform(0.6, 1)))
    return font.play(0, program, notes, score.seconds)


def play_drums(rng: np.random.Generator, score: MusicalScore, font: Font) -> SongSignal:
    """Render drums: kick, snare and hi-hat in a constant pattern, fills, crashes, percussion."""
    step = float(rng.choice([0.25, 0.5, 0.5, 1]))
    kick = [0, 2, *(beat for beat in np.arange(0, 4, 0.5) if rng.random() < 0.2)]
    snare = [1, 3, *(beat for beat in np.arange(0.25, 4, 0.25) if rng.random() < 0.06)]
    pattern = [(beat, int(rng.choice(KICKS)), 0.95) for beat in kick]
    key, hat = int(rng.choice(SNARES)), int(rng.choice(HATS))
    pattern += [(beat, key, 0.9) for beat in snare]
    pattern += [(beat, hat, 0.65) for beat in np.arange(0, 4, step)]
    notes = []
    for start, number, _ in score.bars("drums"):
        hits = list(pattern)
        if number % 4 == 3:
            fill = [beat for beat in np.arange(3, 4, 0.25) if rng.random() < 0.7]
            hits += [(beat, int(rng.choice(TOMS)), 0.9) for beat in fill]
        if number % 8 == 0:
            hits.append((0, int(rng.choice(CRASHES)), 0.8))
        if rng.random() < 0.1:
            hits.append((rng.choice([0, 0.5, 1.5, 2.5]), int(rng.choice(PERCUSSION)), 0.8))
        notes += [
            Note(start + beat * score.beat, 0.1, key, loud * rng.uniform(0.8, 1))
            for beat, key, loud in hits
        ]
    return font.play(DRUMS, int(rng.choice(KITS)), notes, score.seconds)
