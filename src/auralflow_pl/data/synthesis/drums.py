"""Synthetic drum kit: kick, snare, hi-hats, toms and crash, patterns with variation and fills."""

from __future__ import annotations

import numpy as np

from auralflow_pl.data.synthesis.score import MusicalScore
from auralflow_pl.data.synthesis.tones import (
    SongSignal,
    add_at,
    beat_samples,
    colour_noise,
    fade,
    time_axis,
    white_noise,
)

STEPS_PER_BAR = 16  # sixteenth notes in a bar

# Onsets in a bar in sixteenths; a song uses one pattern of each kind.
KICK_PATTERNS = ((0, 8), (0, 6, 8), (0, 4, 8, 12), (0, 7, 10), (0, 3, 8, 11))

SNARE_PATTERNS = ((4, 12), (4, 12), (4, 12, 15), (8,))

HAT_PATTERNS = (range(0, 16, 2), range(0, 16, 1), range(0, 16, 4), range(2, 16, 4))


def kick(rng: np.random.Generator) -> SongSignal:
    """Synthesise a kick drum: a sine with falling pitch, and a click."""
    t = time_axis(rng.uniform(0.18, 0.4))
    floor, sweep, speed = rng.uniform(42, 62), rng.uniform(70, 220), rng.uniform(25, 60)
    phase = 2 * np.pi * (floor * t + sweep / speed * (1 - np.exp(-speed * t)))
    body = np.sin(phase) * np.exp(-t * rng.uniform(9, 18))
    click = (
        colour_noise(white_noise(rng, len(t)), 1500, 7000)
        * np.exp(-t * 400)
        * rng.uniform(0.1, 0.5)
    )
    return fade((body + click).astype(np.float32), 0.0005, 0.02)


def snare(rng: np.random.Generator) -> SongSignal:
    """Synthesise a snare drum: two membrane modes and the noise of the wires."""
    t = time_axis(rng.uniform(0.15, 0.35))
    base = rng.uniform(160, 250)
    modes = np.sin(2 * np.pi * base * t) + 0.6 * np.sin(2 * np.pi * base * 1.59 * t)
    wires = colour_noise(white_noise(rng, len(t)), rng.uniform(900, 2500), rng.uniform(7000, 12000))
    sound = 0.5 * modes * np.exp(-t * rng.uniform(20, 40))
    sound = sound + rng.uniform(0.6, 1.1) * wires * np.exp(-t * rng.uniform(12, 26))
    return fade(sound.astype(np.float32), 0.0005, 0.02)


def hat(rng: np.random.Generator, decay: float) -> SongSignal:
    """Synthesise a hi-hat or cymbal: metallic partials and high-pass noise.

    Args:
        rng: source of randomness.
        decay: decay rate per second; a small one gives an open hi-hat.
    """
    t = time_axis(min(1.5, 5.0 / decay))
    ratios = np.array([2.0, 3.0, 4.16, 5.43, 6.79, 8.21]) * rng.uniform(380, 520)
    metal = sum(np.sign(np.sin(2 * np.pi * ratio * t)) for ratio in ratios) / len(ratios)
    sound = colour_noise(
        (0.5 * metal + 0.5 * white_noise(rng, len(t))).astype(np.float32), 6000, None
    )
    return fade(sound * np.exp(-t * decay), 0.0005, 0.02)


def tom(rng: np.random.Generator, base: float) -> SongSignal:
    """Synthesise a tom: a membrane of `base` Hz with slightly falling pitch."""
    t = time_axis(0.35)
    phase = 2 * np.pi * (base * t + base * 0.02 * (1 - np.exp(-20 * t)))
    sound = np.sin(phase) * np.exp(-t * 10) + 0.1 * white_noise(rng, len(t)) * np.exp(-t * 60)
    return fade(sound.astype(np.float32), 0.0005, 0.03)


def swung_beats(step: int, beat: float, swing: float) -> float:
    """Time of a sixteenth within its bar in seconds; swing delays the off-beats."""
    return step * beat / 4 + (swing * beat / 4 if step % 2 else 0.0)


class DrumKit:
    """A drum kit whose sounds and patterns are drawn once for a song."""

    def __init__(self, rng: np.random.Generator, score: MusicalScore) -> None:
        self.rng, self.score = rng, score
        self.track = np.zeros(beat_samples(score.seconds), dtype=np.float32)
        self.kick, self.snare = kick(rng), snare(rng)
        self.closed, self.open, self.crash = hat(rng, 60), hat(rng, 9), hat(rng, 3.0) * 1.4
        self.toms = [tom(rng, base) for base in (180, 130, 95)]
        self.kicks = KICK_PATTERNS[rng.integers(len(KICK_PATTERNS))]
        self.snares = SNARE_PATTERNS[rng.integers(len(SNARE_PATTERNS))]
        self.hats = HAT_PATTERNS[rng.integers(len(HAT_PATTERNS))]
        self.hat_level = rng.uniform(0.12, 0.35)

    def hit(self, sound: SongSignal, bar_start: float, step: int, level: float) -> None:
        """Add one stroke, with random variation of time and strength."""
        start = bar_start + swung_beats(step, self.score.beat, self.score.swing)
        loudness = np.float32(level * self.rng.uniform(0.8, 1.0))
        add_at(self.track, sound * loudness, start + self.rng.normal(0, 0.004))

    def play_bar(self, start: float, fill: bool) -> None:
        """Play the pattern of one bar, with toms in the second half if the bar is a fill."""
        for step in self.kicks:
            self.hit(self.kick, start, step, 1.0)
        for step in self.snares:
            if not (fill and step >= STEPS_PER_BAR // 2):
                self.hit(self.snare, start, step, 0.7)
        for step in self.hats:
            self.hit(
                self.open if self.rng.random() < 0.08 else self.closed, start, step, self.hat_level
            )
        if self.rng.random() < 0.3:  # ghost note
            self.hit(self.snare, start, int(self.rng.integers(STEPS_PER_BAR)), 0.15)
        for step in range(STEPS_PER_BAR // 2, STEPS_PER_BAR) if fill else ():
            self.hit(self.toms[(step - STEPS_PER_BAR // 2) // 3], start, step, 0.6)


def play_drums(rng: np.random.Generator, score: MusicalScore) -> SongSignal:
    """Synthesise the drum stem, mono, `(time,)`."""
    kit = DrumKit(rng, score)
    section = None
    for start, number, now in score.bars("drums"):
        kit.play_bar(start, fill=number % 4 == 3 and rng.random() < 0.7)
        if now is not section:
            kit.hit(kit.crash, start, 0, 0.3)
            section = now
    return kit.track
