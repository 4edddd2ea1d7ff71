"""The score of a synthetic song: tempo, key, chords, sections, and the stems that play."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEM_NAMES = ("vocals", "drums", "bass", "other")

BEATS_PER_BAR = 4

MUSICAL_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

CHORD_PROGRESSIONS = {  # scale degrees, counted from 0
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 0, 4), (1, 4, 0, 0)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 4), (0, 5, 3, 4), (0, 2, 6, 3)),
}

# Probability with which each stem rests in a section of each kind.
SECTION_RESTS = {
    "intro": {"vocals": 0.9, "drums": 0.3, "bass": 0.3, "other": 0.0},
    "verse": {"vocals": 0.0, "drums": 0.1, "bass": 0.1, "other": 0.1},
    "chorus": {"vocals": 0.0, "drums": 0.0, "bass": 0.0, "other": 0.0},
    "break": {"vocals": 0.5, "drums": 0.6, "bass": 0.4, "other": 0.2},
}

SONG_FORM = ("intro", "verse", "chorus", "verse", "chorus", "break", "chorus")


@dataclass(frozen=True)
class Note:
    """One note: times in seconds, `pitch` in (fractional) MIDI numbers, `velocity` in (0, 1]."""

    start: float
    duration: float
    pitch: float
    velocity: float


@dataclass(frozen=True)
class SongSection:
    """Some bars of one kind, and the stems that play in them; times in seconds."""

    kind: str
    start: float
    bars: int
    playing: frozenset[str]


@dataclass(frozen=True)
class MusicalScore:
    """Tempo, harmony and form of a song; times in seconds, pitches as MIDI numbers."""

    seconds: float
    beat: float
    tonic: int
    scale: tuple[int, ...]
    progression: tuple[int, ...]
    swing: float
    sections: tuple[SongSection, ...]

    @property
    def bar(self) -> float:
        """Length of one bar in seconds."""
        return BEATS_PER_BAR * self.beat

    def bars(self, stem: str) -> list[tuple[float, int, SongSection]]:
        """`(start, bar number, section)` of every bar in which `stem` plays."""
        found = []
        number = 0
        for section in self.sections:
            for index in range(section.bars):
                if stem in section.playing:
                    found.append((section.start + index * self.bar, number, section))
                number += 1
        return found

    def degree_pitch(self, degree: int) -> int:
        """MIDI pitch of a scale degree; degrees outside 0 to 6 are in other octaves."""
        octave, step = divmod(degree, len(self.scale))
        return self.tonic + 12 * octave + self.scale[step]

    def chord(self, bar: int) -> tuple[int, int, int]:
        """Triad of a bar as MIDI pitches around the tonic."""
        root = self.progression[bar % len(self.progression)]
        return tuple(self.degree_pitch(root + third) for third in (0, 2, 4))


def compose_score(rng: np.random.Generator, seconds: float) -> MusicalScore:
    """Draw tempo, key, chord progression and form for a song of `seconds`."""
    mode = str(rng.choice(["major", "minor"]))
    beat = 60.0 / rng.uniform(76, 148)
    progressions = CHORD_PROGRESSIONS[mode]
    return MusicalScore(
        seconds=seconds,
        beat=beat,
        tonic=int(rng.integers(48, 60)),
        scale=MUSICAL_SCALES[mode],
        progression=progressions[rng.integers(len(progressions))],
        swing=float(rng.choice([0.0, 0.0, 0.16])),
        sections=draw_sections(rng, seconds, BEATS_PER_BAR * beat),
    )


def draw_sections(rng: np.random.Generator, seconds: float, bar: float) -> tuple[SongSection, ...]:
    """Draw sections of one to four bars until `seconds` are filled; the last one may be shorter."""
    sections: list[SongSection] = []
    start = float(rng.uniform(0.0, 0.6))
    first = int(rng.integers(2))  # some songs begin with the verse
    total_bars = max(1, int(np.ceil((seconds - start) / bar)))
    while total_bars > 0:
        kind = SONG_FORM[(first + len(sections)) % len(SONG_FORM)]
        bars = min(total_bars, 1 if kind == "intro" else int(rng.choice([2, 2, 4])))
        playing = frozenset(s for s in STEM_NAMES if rng.random() >= SECTION_RESTS[kind][s])
        sections.append(SongSection(kind, start, bars, playing or frozenset({"other"})))
        start += bars * bar
        total_bars -= bars
    return tuple(sections)
