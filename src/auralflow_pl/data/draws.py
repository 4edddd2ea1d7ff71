"""Drawing of the tracks and positions of training chunks.

The stems of a training stand in a fixed order; a stem has the place of its number. Tracks may have
other stems. One that is undivided in a track, as `accompaniment` is of drums, bass and other, lies
in the place of the first stem that it holds, and the places of the others are empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auralflow_pl.data.augment import Addition, Augmentation, ReadPosition
from auralflow_pl.data.sampling import ChanceTable, SamplingOptions
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError

MOST_DRAWS = 100  # attempts to draw a position at which a target is audible


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
    """Tracks to choose from, by their numbers."""

    numbers: np.ndarray  # (tracks,)
    cumulated: np.ndarray  # probabilities among them, `(tracks,)`

    @classmethod
    def of(cls, numbers: Sequence[int] | np.ndarray, chances: np.ndarray) -> Choice | None:
        """Choose in proportion to the chances of all tracks; None: from no track with a chance."""
        total = np.cumsum(chances[numbers])
        if not len(total) or total[-1] <= 0:
            return None
        return cls(np.asarray(numbers), total if total[-1] > 1 - 1e-9 else total / total[-1])

    def draw(self, rng: np.random.Generator) -> int:
        """Draw the number of a track with its probability."""
        last = len(self.numbers) - 1
        place = int(np.searchsorted(self.cumulated, rng.random(), "right"))
        return int(self.numbers[min(last, place)])


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
        self.tracks = tuple(tracks)
        self.stems = tuple(stems)
        self.drawing = drawing
        self.frames = frames
        self.reach = reach
        self.known: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[Place, ...]] = {}
        self.members: dict[tuple[int, frozenset[int], Path | None], list[int]] = {}
        for index, track in enumerate(tracks):
            key = (track.stems, track.absent)
            if key not in self.known:
                self.known[key] = places_of(track, self.stems, groups)
            for number, place in enumerate(self.known[key]):
                for root in (None, track.root) if track.loose else (None,):
                    if place.holds:
                        self.members.setdefault((number, place.holds, root), []).append(index)
        if drawing.spans is not None:
            drawing.spans.check(tracks)
        self.table = ChanceTable(tracks, drawing)
        self.choose(self.table.at(0.0))

    def choose(self, chances: np.ndarray) -> None:
        """Draw with these probabilities of the tracks, `(tracks,)`, from now on."""
        self.chances = chances
        self.all = Choice.of(np.arange(len(self.tracks)), chances)
        found = {key: Choice.of(numbers, chances) for key, numbers in self.members.items()}
        self.choices = {key: choice for key, choice in found.items() if choice is not None}
        songs = [number for number, track in enumerate(self.tracks) if not track.loose]
        self.songs = Choice.of(songs, chances)

    def at_epoch(self, epoch: float) -> PositionDraws:
        """These draws with the probabilities of a time in the training, in epochs."""
        if self.table.is_constant:
            return self
        other = copy(self)
        other.choose(self.table.at(epoch))
        return other

    def at(self, position: ReadPosition) -> tuple[Place, ...]:
        """What the track of a position has in each place."""
        return self.known[position.track.stems, position.track.absent]

    def positions(
        self, rng: np.random.Generator, augmentations: Sequence[Augmentation]
    ) -> list[ReadPosition]:
        """Read position of each stem of a chunk, after all augmentations."""
        every = range(len(self.stems))
        assert self.all is not None  # chances add up to 1
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
        """Draw a track and a uniform position in it for some stems.

        It is drawn again while all targets among them are silent, or with a marked span.
        """
        for _ in range(MOST_DRAWS + 1):
            track = self.tracks[choice.draw(rng)]
            start = int(rng.integers(max(0, track.frames - self.reach) + 1))
            position = ReadPosition(track, start)
            silent = not self.is_heard(position, numbers)
            if silent and rng.random() >= self.drawing.keep_silent:
                continue
            weight = self.weight(position, numbers)
            if weight == 1 or rng.random() < weight:
                break
        return position

    def stems_at(self, position: ReadPosition, numbers: Sequence[int]) -> list[str]:
        """What the track of a position has in some places."""
        return [place.stem for n in numbers if (place := self.at(position)[n]).stem is not None]

    def weight(self, position: ReadPosition, numbers: Sequence[int]) -> float:
        """Share of the chunks at a position that is kept, for the marked spans of some stems."""
        if self.drawing.spans is None:
            return 1.0
        track, start = position
        return self.drawing.spans.weight(track, self.stems_at(position, numbers), start, self.reach)

    def is_heard(self, position: ReadPosition, numbers: Sequence[int]) -> bool:
        """Whether a target among some stems is not silent, or the track has none of them."""
        wanted = [number for number in numbers if self.stems[number] in self.drawing.targets]
        if not wanted or self.drawing.silence_db is None:
            return True
        track, start = position
        floor = 10 ** (self.drawing.silence_db / 10)
        frames = min(self.frames, track.frames)
        stems = self.stems_at(position, wanted)
        levels = (track.level(stem, start, frames) for stem in stems)
        return not stems or any(level > floor for level in levels)


def lowest_band(tracks: Sequence[Track], sample_rate: int) -> float:
    """Least bandwidth of some tracks as a share of half the sample rate, at most 1."""
    return min([1.0, *(2 * (track.bandwidth or math.inf) / sample_rate for track in tracks)])
