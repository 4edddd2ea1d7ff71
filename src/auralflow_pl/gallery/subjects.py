"""What is listened to: folders of estimates, and models that separate excerpts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.comparing.comparability import distinct_names
from auralflow_pl.evaluation.estimates import NO_TARGETS
from auralflow_pl.gallery.recordings import Clip, FileRecording, Recording
from auralflow_pl.gallery.songs import GallerySong, common_names, song_folders
from auralflow_pl.pretrained.registry import NAME_PREFIX
from auralflow_pl.separator.separator import Separator
from auralflow_pl.stems.loading import MODEL_SUFFIXES, is_model_path


class Subject(Protocol):
    """A source of estimates."""

    name: str  # on the page

    @property
    def songs(self) -> Collection[str] | None:
        """Names of the songs that it has estimates of; None: of any with a mixture."""

    def targets(self, song: GallerySong) -> list[str]:
        """Targets that it estimates in a song."""

    def whole(self, song: GallerySong, target: str) -> Recording | None:
        """The whole estimate, if there is one."""

    def read(self, song: GallerySong, target: str, start: float, seconds: float) -> Clip:
        """An excerpt of an estimate; see `Recording.read`."""


class StemFolders:
    """Estimates in files `<root>/[<split>/]<track>/<target>.<wav|flac|...>`.

    Args:
        name: name on the page.
        root: the folder.

    Raises:
        InputError: there are no such files, or two for one target.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.files = song_folders(root, NO_TARGETS)
        if not self.files:
            raise InputError(
                f"models={root}: holds no songs; expected <track>/<stem>.wav as `separate` writes "
                "them, a run folder or a checkpoint"
            )

    @property
    def songs(self) -> Collection[str]:
        """Names of the songs in the folder."""
        return self.files

    def rename(self, names: Mapping[str, str]) -> None:
        """Give the songs other names, by their names so far."""
        self.files = {names[song]: files for song, files in self.files.items()}

    def targets(self, song: GallerySong) -> list[str]:
        """Names of the files of a song."""
        return list(self.files[song.name])

    def whole(self, song: GallerySong, target: str) -> FileRecording:
        """The file of an estimate."""
        return self.files[song.name][target]

    def read(self, song: GallerySong, target: str, start: float, seconds: float) -> Clip:
        """Read an excerpt of the file."""
        return self.whole(song, target).read(start, seconds)


@dataclass
class ModelSubject:
    """A model that separates excerpts of mixtures when they are read."""

    name: str
    separator: Separator
    device: torch.device
    songs: Collection[str] | None = None

    def __post_init__(self) -> None:
        self.estimates = functools.lru_cache(maxsize=1)(self.separate)  # of one song

    def targets(self, song: GallerySong) -> list[str]:  # noqa: ARG002 - the same in all songs
        """Targets of the model."""
        return list(self.separator.targets)

    def whole(self, song: GallerySong, target: str) -> None:
        """No whole song is separated."""

    def read(self, song: GallerySong, target: str, start: float, seconds: float) -> Clip:
        """Separate an excerpt of the mixture."""
        assert song.mixture is not None  # of a song without one, nothing is asked
        estimates, rate = self.estimates(song.mixture, start, seconds)
        return Clip(estimates[list(self.separator.targets).index(target)], rate)

    @torch.inference_mode()
    def separate(self, mixture: Recording, start: float, seconds: float) -> Clip:
        """Estimates `(targets, channels, time)` of an excerpt.

        It is read with the context that the network sees on either side, from a place on the grid
        of its windows, so that the estimates are those of the whole song.
        """
        windows, rate = self.separator.windows, self.separator.sample_rate
        context = windows.context / rate
        first_window = math.floor(max(0.0, start - context) * rate / windows.align)
        before = start - first_window * windows.align / rate
        clip = mixture.read(start - before, before + seconds + context)
        estimates = self.separator(clip.samples.to(self.device), clip.sample_rate).cpu()
        first = round(before * clip.sample_rate)
        length = round(seconds * clip.sample_rate)
        return Clip(estimates[..., first : first + length], clip.sample_rate)


class NamedEntry(NamedTuple):
    """An entry of the key `models` with its name on the page."""

    name: str
    entry: str

    @property
    def is_model(self) -> bool:
        """Whether it is a model, not a folder of estimates."""
        path = Path(self.entry)
        if self.entry.startswith(NAME_PREFIX) or path.suffix in MODEL_SUFFIXES:
            return True
        return path.is_dir() and (is_model_path(path) or (path / "checkpoints").is_dir())


def named_entries(entries: Sequence[str]) -> list[NamedEntry]:
    """Give each entry of the key `models` a short distinct name.

    Raises:
        InputError: an entry stands twice, or is neither a folder nor a model.
    """
    for entry in entries:
        path = Path(entry)
        if not entry.startswith(NAME_PREFIX) and not path.exists():
            raise InputError(
                f"models={entry}: no such file or folder; expected a folder of stems, a run, a "
                f"checkpoint or {NAME_PREFIX}<name>"
            )
        if path.is_file() and path.suffix not in MODEL_SUFFIXES:
            raise InputError(
                f"models={entry}: is a file; expected a folder of stems, a run or a checkpoint"
            )
    places = [Path(entry).resolve() for entry in entries]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise InputError(f"models: {entries[number]} stands twice; expected different models")
    names = distinct_names([Path(entry) for entry in entries])
    return [NamedEntry(*pair) for pair in zip(names, entries, strict=True)]


LoadFunction = Callable[[str], tuple[Separator, torch.device]]


def find_subjects(entries: Sequence[NamedEntry], load: LoadFunction) -> list[Subject]:
    """The folders and models that the key `models` names, in its order.

    Args:
        entries: what `named_entries` returned.
        load: function that loads the model of an entry.

    Raises:
        InputError: a folder holds no estimates, or a model cannot be loaded.
    """
    return [
        ModelSubject(one.name, *load(one.entry))
        if one.is_model
        else StemFolders(one.name, Path(one.entry))
        for one in entries
    ]


def with_common_names(
    songs: Iterable[GallerySong], subjects: Sequence[Subject]
) -> list[GallerySong]:
    """Songs with the names of `common_names`, which the folders among the subjects get as well."""
    known, folders = list(songs), [one for one in subjects if isinstance(one, StemFolders)]
    names = common_names([[song.name for song in known], *(list(one.files) for one in folders)])
    for one in folders:
        one.rename(names)
    return [replace(song, name=names[song.name]) for song in known]


def model_sums(subjects: Sequence[Subject]) -> Mapping[str, Sequence[str]]:
    """Stems whose sum is the target, by name, of all models that separate excerpts."""
    models = [one for one in subjects if isinstance(one, ModelSubject)]
    return {name: m for one in models for name, m in one.separator.target_stems.items()}
