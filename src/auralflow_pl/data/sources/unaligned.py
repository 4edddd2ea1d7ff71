"""Data sets with a folder for each stem, whose files have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from auralflow_pl.audio.reading import AUDIO_SUFFIXES, read_header
from auralflow_pl.checks.values import one_of
from auralflow_pl.data.sources.stem_folder import StemFolder, check_link
from auralflow_pl.data.tracks import SPLIT_NAMES, FileTrack, NoTracksError, Track, TrackSource
from auralflow_pl.errors import InputError, did_you_mean, shown
from auralflow_pl.system.folders import folders_below, visible


class UnalignedFolders(TrackSource):
    """Files of each stem in a folder of its own, `<root>/<stem>/`, at any depth.

    Every file is a track with one stem. The stems of a chunk are drawn one by one, and its mixture
    is their sum. There are no whole songs to validate with; those are in another folder, `songs`.

    Args:
        root: folder with a folder for each stem; None: all are in `folders`.
        stems: names of the stems, in the order of the tensors.
        folders: one or several folders by name of the stem, instead of `<root>/<stem>`.
        songs: a `StemFolder` for validation and test; None: there are none.
        max_tracks: use only the first files of each stem, and songs of each split.

    Raises:
        InputError: an unknown stem in `folders`, a stem without a folder, no folder where one is
            expected, or a folder that lies in another.
    """

    def __init__(
        self,
        root: str | Path | None,
        stems: Sequence[str],
        folders: Mapping[str, str | Sequence[str]] | None = None,
        songs: str | Path | None = None,
        max_tracks: int | None = None,
    ) -> None:
        self.stems = tuple(stems)
        self.max_tracks = max_tracks
        self.songs = None if songs is None else StemFolder(songs, stems, max_tracks)
        if not isinstance(folders, Mapping | None):
            raise InputError(
                f"data.folders={shown(folders)}: expected folders by stem, as in "
                f"{{{self.stems[0]}:<folder>}}"
            )
        given = folders or {}
        for stem in given:
            if stem not in self.stems:
                raise InputError(f"data.folders.{stem}: {did_you_mean(stem, self.stems)}")
        self.owners: dict[Path, str] = {}  # stem by folder
        for stem in self.stems:
            if stem not in given and root is None:
                raise InputError(
                    f"data.folders: none for {stem}; pass data.root=<folder> with {stem}/ in it, "
                    f"or data.folders={{{stem}:<folder>,...}}"
                )
            places = given.get(stem, str(Path(str(root)) / stem))
            places = [places] if isinstance(places, str | Path) else places
            if (
                not isinstance(places, Sequence)
                or not places
                or not all(isinstance(place, str | Path) for place in places)
            ):
                raise InputError(
                    f"data.folders.{stem}={shown(places)}: expected a folder, or a list of folders"
                )
            for place in places:
                self.own(Path(place).expanduser(), stem)
        self.root = next(iter(self.owners)) if root is None else Path(root)

    def own(self, folder: Path, stem: str) -> None:
        """Note the folder of a stem.

        Raises:
            InputError: there is none, or it is another one, or in another one.
        """
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; expected the files of {stem} in it")
        for other in self.owners:
            one, two = folder.resolve(), other.resolve()
            if one == two or one in two.parents or two in one.parents:
                raise InputError(f"data.folders: {folder} and {other} have files in common")
        self.owners[folder] = stem

    def find(self, split: str) -> list[Path]:
        """Paths of all files, stem by stem, sorted; for valid and test those of `songs`."""
        one_of("split", split, SPLIT_NAMES)
        if split != "train":
            if self.songs is None:
                raise NoTracksError(
                    f"no {split} songs: files of single stems belong to no song; pass "
                    "data.songs=<folder> of songs for validation, with "
                    f"[{split}/]<track>/{{{','.join(self.stems)}}}.wav"
                )
            return self.songs.find(split)
        found: dict[str, list[Path]] = {stem: [] for stem in self.stems}
        for folder, stem in self.owners.items():
            sounds = sorted(sound_files(folder))
            if not sounds:
                raise InputError(f"{folder}: no sound files of {stem} in it")
            found[stem] += sounds
        return [path for paths in found.values() for path in paths[: self.max_tracks]]

    def track(self, path: Path, split: str) -> Track:
        """Open a file as a track with one stem, or a song of `songs`."""
        if split != "train" and self.songs is not None:
            return self.songs.track(path, split)
        header = read_header(path)
        if header.frames == 0:
            raise InputError(f"{path}: holds no samples")
        folder = next(folder for folder in self.owners if folder in path.parents)
        stem = self.owners[folder]
        return FileTrack(
            f"{stem}/{path.relative_to(folder).with_suffix('')}",
            split,
            header.sample_rate,
            header.frames,
            header.channels,
            (stem,),
            has_mixture=False,
            files=(path,),
            root=self.root,
            loose=True,
        )


def sound_files(folder: Path) -> list[Path]:
    """Sound files in a folder and below it; hidden ones are skipped, links are followed.

    Raises:
        InputError: a link to nothing.
    """
    found = []
    for here in folders_below(folder):
        for path in visible(here):
            check_link(path)
            if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
                found.append(path)
    return found
