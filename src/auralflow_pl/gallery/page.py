"""The page of a gallery: excerpts of songs as sounds, pictures and scores in one HTML file."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from auralflow_pl.errors import InputError
from auralflow_pl.gallery.excerpts import (
    EXCERPT_RATE,
    Excerpt,
    choose_place,
    match_levels,
    read_excerpt,
)
from auralflow_pl.gallery.songs import GallerySong
from auralflow_pl.gallery.subjects import Subject, with_common_names
from auralflow_pl.report.page import html_page, is_page_of_ours
from auralflow_pl.report.spectrograms import encode_sound, spectrogram_pictures
from auralflow_pl.system.files import values_sha256
from auralflow_pl.system.progress import Progress

PAGE_TITLE = "Listening page"

SOUND_KINDS = {"mp3": "MP3", "flac": "FLAC"}

BALLOT_FORMAT = 1  # version of the files of choices that the page saves


@dataclass(frozen=True)
class GalleryOptions:
    """Settings of a page; see configs/listen.yaml."""

    seconds: float = 10.0
    offset: float | None = None
    form: str = "mp3"  # one of `SOUND_KINDS`
    max_mb: float = 50.0
    blind: bool = False
    seed: int = 0
    targets: Sequence[str] | None = None


@dataclass
class SoundStore:
    """Encoded sounds of a page, each once, and the size of the page so far."""

    form: str
    sounds: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    size: int = 0  # bytes of sounds and pictures in base64

    def add(self, sound: Tensor) -> int:
        """Encode `(channels, time)` at `EXCERPT_RATE`; return the number of the sound."""
        text = encode_sound(sound, EXCERPT_RATE, SOUND_KINDS[self.form])
        if text not in self.numbers:
            self.numbers[text] = len(self.sounds)
            self.sounds.append(text)
            self.size += len(text)
        return self.numbers[text]


def check_gallery_file(page: Path) -> None:
    """Raise InputError if another file than a page of this command is there."""
    if page.exists() and not is_page_of_ours(page, PAGE_TITLE):
        raise InputError(
            f"output={page}: is there already and no page of `auralflow listen`; pass another one"
        )


def common_targets(
    song: GallerySong, subjects: Sequence[Subject], wanted: Sequence[str] | None
) -> list[str]:
    """Targets that all subjects estimate in a song, in the order of the first subject.

    Args:
        song: a song that all subjects have.
        subjects: folders and models.
        wanted: only these; None: all.
    """
    every = [subject.targets(song) for subject in subjects]
    shared = [name for name in every[0] if all(name in names for names in every)]
    return [name for name in shared if wanted is None or name in wanted]


def gallery_page(
    songs: Sequence[GallerySong], subjects: Sequence[Subject], options: GalleryOptions
) -> str:
    """HTML page of excerpts of songs.

    Args:
        songs: songs that all subjects have.
        subjects: folders and models, in the order of display.
        options: settings.

    Raises:
        InputError: the subjects have no target in common, a sound cannot be read, or the page
            becomes too large.
    """
    parts = [(song, common_targets(song, subjects, options.targets)) for song in songs]
    parts = [(song, targets) for song, targets in parts if targets]
    found = {name for _, targets in parts for name in targets}
    if not parts or not found.issuperset(options.targets or ()):
        raise InputError(no_target_text(songs[0], subjects, options.targets))
    store, cards = SoundStore(options.form), []
    for number, (song, targets) in enumerate(Progress(parts, "songs")):
        place = choose_place(song, subjects, targets, options.seconds, options.offset)
        for target in targets:
            cards.append(excerpt_card(read_excerpt(song, subjects, target, place), store, options))
            check_size(store.size, options.max_mb, number, len(parts))
    names = [subject.name for subject in subjects]
    data = {
        "format": BALLOT_FORMAT,
        "blind": options.blind,
        "seed": options.seed,
        "models": names,
        "cards": cards,
        "sounds": store.sounds,
    }
    data["id"] = values_sha256(data, 12)
    count = f"{len(parts)} {'song' if len(parts) == 1 else 'songs'}"
    of = f"{len(names)} models in random order" if options.blind else ", ".join(names)
    form = options.form.upper()
    return html_page("gallery", PAGE_TITLE, f"{count}, {of}; sounds as {form}", data)


def no_target_text(
    song: GallerySong, subjects: Sequence[Subject], wanted: Sequence[str] | None
) -> str:
    """Message that says which targets the subjects have."""
    has = "; ".join(f"{one.name} has {', '.join(one.targets(song))}" for one in subjects)
    asked = f"target={','.join(wanted)}: not in all" if wanted else "models: no target in common"
    return f"{asked}: {has}; pass others, or rename the files"


def check_size(size: int, max_mb: float, done: int, songs: int) -> None:
    """Raise InputError if a page is too large.

    Args:
        size: of what it holds, in bytes.
        max_mb: limit in MB.
        done: number of songs that it has room for.
        songs: number of all songs.
    """
    if size > max_mb * 1e6:
        fewer = f"songs={done} or " if done else ""
        raise InputError(
            f"max_mb={max_mb:g}: the page has room for {done} of {songs} songs; pass {fewer}a "
            "smaller seconds=, one target=, or a larger max_mb="
        )


def excerpt_card(excerpt: Excerpt, store: SoundStore, options: GalleryOptions) -> dict[str, Any]:
    """An excerpt as plain values for the page; its sounds are added to the store."""
    names = [*excerpt.estimates]
    if options.blind:
        drawn = values_sha256([options.seed, excerpt.song, excerpt.target])
        random.Random(drawn).shuffle(names)  # noqa: S311
    estimates = {name: excerpt.estimates[name] for name in names}
    references = excerpt.references
    sounds = [*references.values(), *estimates.values()]
    levels = match_levels(sounds, list(references).index("truth") if "truth" in references else -1)
    sounds = [levels.stored * sound for sound in sounds]
    keys = [*references, *(f"model {number}" for number in range(len(names)))]
    pictures = spectrogram_pictures(dict(zip(keys, sounds, strict=True)), EXCERPT_RATE)
    store.size += sum(map(len, pictures.values()))
    floor = None if excerpt.mixture is None else excerpt.score(excerpt.mixture)
    rows = []
    for number, (key, sound) in enumerate(zip(keys, sounds, strict=True)):
        model = None if key in references else names[number - len(references)]
        score = None if model is None else excerpt.score(sound)
        change = levels.changes[number]
        rows.append(
            {
                "key": key,
                "model": model,
                "sound": store.add(sound),
                "picture": pictures[key],
                "change": round(change, 1),
                "gain": levels.common * 10 ** (change / 20),
                "score": score,
                "better": None if score is None or floor is None else score - floor,
            }
        )
    return {
        "song": excerpt.song,
        "target": excerpt.target,
        "start": excerpt.place.start,
        "seconds": excerpt.place.seconds,
        "lufs": levels.heard,
        "mixture": floor,
        "sounds": rows,
    }


def songs_of_all(
    songs: Iterable[GallerySong], subjects: Sequence[Subject], most: int
) -> list[GallerySong]:
    """The first songs that all subjects have; see `common_names`.

    Raises:
        InputError: there are none.
    """
    known = with_common_names(songs, subjects)
    found = [
        song
        for song in known
        if all(
            song.mixture is not None if one.songs is None else song.name in one.songs
            for one in subjects
        )
    ]
    if not found:
        listed = {"the songs": [song.name for song in known]}
        listed |= {one.name: list(one.songs) for one in subjects if one.songs is not None}
        has = "; ".join(f"{name}: {first_names(names)}" for name, names in listed.items())
        raise InputError(f"models: no song in common; found {has}; expected equal names of folders")
    return found[:most]


def first_names(names: Sequence[str]) -> str:
    """The first three names of a list, and how many there are."""
    more = f", ... ({len(names)})" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "none"
