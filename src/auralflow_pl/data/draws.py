"""Drawing of the tracks and positions of training chunks.

The stems of a training stand in a fixed order; a stem has the place of its number. Tracks may have
other stems. One that is undivided in a track, as `accompaniment` is of drums, bass and other, lies
in the place of the first stem that it holds, and the places of the others are empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auralflow_pl.checks.values import one_of
from auralflow_pl.data.augment import Addition, Augmentation, ReadPosition
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError

BALANCE_NAMES = ("length", "track")

MOST_DRAWS = 100  # attempts to draw a position at which a target is audible


@dataclass(frozen=True)
class SamplingOptions:
    """Options for drawing the positions of chunks.

    Args:
        balance: `length`: tracks are drawn in proportion to their length; `track`: all tracks are
            equally likely. Both are multiplied by the weights of the tracks.
        silence_db: RMS level in dB re full scale below which a target counts as silent; None:
            silence is not detected.
        keep_silent: probability with which a chunk with a silent target is kept; the others are
            drawn again.
        targets: stems that should be audible; empty: silence is not detected.
        weights: relative weights of the roots of tracks; empty: roots have no weights.

    Raises:
        InputError: an unknown balance, or a number out of range.
    """

    balance: str = "length"
    silence_db: float | None = None
    keep_silent: float = 1.0
    targets: tuple[str, ...] = ()
    weights: Mapping[Path, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("data.balance", self.balance, BALANCE_NAMES)
        if not 0 <= self.keep_silent <= 1:
            raise InputError(f"data.keep_silent={self.keep_silent}: expected from 0 to 1")
        if self.silence_db is not None and not -200 <= self.silence_db <= 0:
            raise InputError(f"data.silence_db={self.silence_db}: expected from -200 to 0 dB")

    def chances(self, tracks: Sequence[Track]) -> np.ndarray:
        """Probability of each track, `(tracks,)`."""
        sizes = (t.frames if self.balance == "length" else 1 for t in tracks)
        share = np.array([s * t.weight for s, t in zip(sizes, tracks, strict=True)], np.float64)
        if self.weights:
            roots = [track.root for track in tracks]
            for root in set(roots):
                here = np.array([r == root for r in roots])
                share[here] *= self.weights[root] / share[here].sum()
        return share / share.sum()


class Place(NamedTuple):
    """What a track has in the place of a stem of the training."""

    stem: str | None  # name of the stem in the track; None: nothing
    holds: frozenset[int]  # numbers of the stems of the training that it contains


EMPTY = Place(None, frozenset())


def places_of(
    track: Track, stems: Sequence[str], groups: Mapping[str, Sequence[str]] | None
) -> tuple[Place, ...]:
    """What a track has in the place of each stem of a training.

    Args:
        track: the track.
        stems: stems of the training, in their order.
        groups: names of sums of them; `accompaniment` is known.

    Raises:
        InputError: a stem of the track is neither a stem nor a group, or is in another one.
    """
    places = [EMPTY] * len(stems)
    seen: set[int] = set()
    for name, members in resolve_targets(track.stems, stems, groups).items():
        holds = frozenset(stems.index(member) for member in members)
        if holds & seen or not holds:
            raise InputError(
                f"{track.split}/{track.name}: stems {', '.join(track.stems)}: {name} has nothing "
                "of its own beside the others"
            )
        seen |= holds
        if name not in track.absent:
            places[min(holds)] = Place(name, holds)
    return tuple(places)


class Choice(NamedTuple):
    """Tracks to choose from."""

    tracks: tuple[Track, ...]
    cumulated: np.ndarray  # probabilities, `(tracks,)`

    @classmethod
    def of(cls, tracks: Sequence[Track], chances: np.ndarray) -> Choice:
        """Choose in proportion to `chances`."""
        cumulated = np.cumsum(chances)
        return cls(
            tuple(tracks), cumulated if cumulated[-1] > 1 - 1e-9 else cumulated / cumulated[-1]
        )

    def draw(self, rng: np.random.Generator, reach: int) -> ReadPosition:
        """Draw a track with its probability, and a uniform position in it."""
        last = len(self.tracks) - 1
        number = min(last, int(np.searchsorted(self.cumulated, rng.random(), "right")))
        track = self.tracks[number]
        return ReadPosition(track, int(rng.integers(max(0, track.frames - reach) + 1)))


class PositionDraws:
    """Draws the read positions of the stems of chunks.

    Stems of a `loose` track are drawn one by one from the loose tracks with the same root. What
    these lack comes from a track that is not loose, at one position.

    Args:
        tracks: tracks of the training set, at least one.
        stems: stems of the training, in their order.
        groups: names of sums of stems.
        drawing: options.
        frames: length of a chunk in samples.
        reach: samples that are read for a chunk.

    Raises:
        InputError: a track has stems that do not fit those of the training.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        stems: Sequence[str],
        groups: Mapping[str, Sequence[str]] | None,
        drawing: SamplingOptions,
        frames: int,
        reach: int,
    ) -> None:
        self.stems = tuple(stems)
        self.drawing = drawing
        self.frames = frames
        self.reach = reach
        self.known: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[Place, ...]] = {}
        members: dict[tuple[int, frozenset[int], Path | None], list[int]] = {}
        for index, track in enumerate(tracks):
            key = (track.stems, track.absent)
            if key not in self.known:
                self.known[key] = places_of(track, self.stems, groups)
            for number, place in enumerate(self.known[key]):
                for root in (None, track.root) if track.loose else (None,):
                    if place.holds:
                        members.setdefault((number, place.holds, root), []).append(index)
        chances = drawing.chances(tracks)
        self.all = Choice.of(tracks, chances)
        self.choices = {
            key: Choice.of([tracks[i] for i in found], chances[found])
            for key, found in members.items()
        }
        songs = [index for index, track in enumerate(tracks) if not track.loose]
        self.songs = Choice.of([tracks[i] for i in songs], chances[songs]) if songs else None

    def at(self, position: ReadPosition) -> tuple[Place, ...]:
        """What the track of a position has in each place."""
        return self.known[position.track.stems, position.track.absent]

    def positions(
        self, rng: np.random.Generator, augmentations: Sequence[Augmentation]
    ) -> list[ReadPosition]:
        """Read position of each stem of a chunk, after all augmentations."""
        every = range(len(self.stems))
        first = self.draw(rng, every, self.all)
        loose = first.track.loose
        found = self.assemble(rng, first.track.root) if loose else [first] * len(every)
        for augmentation in augmentations:
            found = augmentation.places(found, rng, partial(self.another, found))
        return found

    def additions(
        self,
        positions: Sequence[ReadPosition],
        rng: np.random.Generator,
        augmentations: Sequence[Augmentation],
    ) -> list[Addition]:
        """Further sounds that augmentations add to the stems of a chunk."""
        another, count = partial(self.another, positions), len(self.stems)
        found = [one for a in augmentations for one in a.additions(count, rng, another)]
        return [one for one in found if self.at(one.place)[one.stem].stem is not None]

    def assemble(self, rng: np.random.Generator, root: Path) -> list[ReadPosition]:
        """Draw a position for each stem of the loose tracks of a root, and one for what is left."""
        found: dict[int, ReadPosition] = {}
        left = set(range(len(self.stems)))
        for (number, holds, owner), choice in self.choices.items():
            if owner == root and holds <= left:
                found[number] = self.draw(rng, [number], choice)
                left -= holds
        nothing = next(iter(found.values()))  # it has no other stems
        if left and self.songs is not None:
            song = self.draw(rng, sorted(left), self.songs)
            for number in left:
                if self.at(song)[number].holds <= left:
                    found[number] = song
        return [found.get(number, nothing) for number in range(len(self.stems))]

    def another(
        self, positions: Sequence[ReadPosition], rng: np.random.Generator, number: int
    ) -> ReadPosition:
        """Draw another position for a stem, where tracks have in its place what this one has."""
        holds = self.at(positions[number])[number].holds
        choice = self.choices.get((number, holds, None))
        return self.draw(rng, [number], choice) if choice else positions[number]

    def draw(
        self, rng: np.random.Generator, numbers: Sequence[int], choice: Choice
    ) -> ReadPosition:
        """Draw a position for some stems; draw again while all targets among them are silent."""
        wanted = [number for number in numbers if self.stems[number] in self.drawing.targets]
        position = choice.draw(rng, self.reach)
        if not wanted or self.drawing.silence_db is None:
            return position
        for _ in range(MOST_DRAWS):
            if self.is_heard(position, wanted) or rng.random() < self.drawing.keep_silent:
                break
            position = choice.draw(rng, self.reach)
        return position

    def is_heard(self, position: ReadPosition, numbers: Sequence[int]) -> bool:
        """Whether a stem is above the silence level in a chunk, or the track has none of them."""
        track, start = position
        assert self.drawing.silence_db is not None  # else nobody asks
        floor = 10 ** (self.drawing.silence_db / 10)
        frames = min(self.frames, track.frames)
        stems = [place.stem for n in numbers if (place := self.at(position)[n]).stem is not None]
        levels = (track.level(stem, start, frames) for stem in stems)
        return not stems or any(level > floor for level in levels)


def lowest_band(tracks: Sequence[Track], sample_rate: int) -> float:
    """Least bandwidth of some tracks as a share of half the sample rate, at most 1."""
    return min([1.0, *(2 * (track.bandwidth or math.inf) / sample_rate for track in tracks)])
