"""The songs of a gallery: where their mixtures and true stems are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auralflow_pl.audio.folders import named_sounds
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.data.tracks import SPLIT_NAMES, Track
from auralflow_pl.errors import InputError
from auralflow_pl.gallery.recordings import FileRecording, Recording, TrackRecording
from auralflow_pl.separator.chain import MIXTURE_NAME
from auralflow_pl.stems.inputs import InputFile
from auralflow_pl.system.files import file_sha256, read_json
from auralflow_pl.system.folders import folders_below


@dataclass(frozen=True)
class GallerySong:
    """A song, with what is known of it besides estimates."""

    name: str
    mixture: Recording | None
    truth: Mapping[str, Recording] = field(default_factory=dict)  # by target


def song_folders(root: Path, ignored: Sequence[str] = ()) -> dict[str, dict[str, FileRecording]]:
    """Sound files `<root>/[<split>/]<track>/<name>.<wav|flac|...>`, by track and name.

    A track may lie in further folders, which are then a part of its name. If there are sound files
    in `root` itself and in no folder below it, it is the folder of one track.

    Args:
        root: a folder.
        ignored: names of files that are left out.

    Raises:
        InputError: two files have one name.
    """
    found = {folder: named_sounds(folder, ignored=ignored) for folder in folders_below(root)}
    own = found.pop(root, {})
    tracks = {folder: files for folder, files in found.items() if files} or {root: own}
    tracks = {folder: files for folder, files in sorted(tracks.items()) if files}
    names = [song_name(root, folder) for folder in tracks]
    if len(set(names)) < len(names):  # one name in two splits
        names = [folder.relative_to(root).as_posix() for folder in tracks]
    return {
        song: {name: FileRecording(path) for name, path in files.items()}
        for song, files in zip(names, tracks.values(), strict=True)
    }


def song_name(root: Path, folder: Path) -> str:
    """Name of the song in a folder below `root`, without the folder of a split."""
    parts = folder.relative_to(root).parts
    if len(parts) > 1 and parts[0] in SPLIT_NAMES:
        parts = parts[1:]
    return "/".join(parts) or folder.absolute().name


def songs_of_folder(root: Path, key: str) -> list[GallerySong]:
    """Songs whose true stems, and perhaps mixtures, lie in a folder; see `song_folders`.

    Messages name the folder by its `key`.

    Raises:
        InputError: there is no such folder, or it holds no songs.
    """
    folders = song_folders(existing_folder(root, key))
    if not folders:
        raise InputError(f"{key}={root}: holds no songs; expected <track>/<stem>.wav")
    return [
        GallerySong(name, files.get(MIXTURE_NAME), without_mixture(files))
        for name, files in folders.items()
    ]


def existing_folder(root: Path, key: str) -> Path:
    """The folder; raises InputError if it is none."""
    if not root.is_dir():
        what = "is a file, expected a folder" if root.exists() else "no such folder"
        raise InputError(f"{key}={root}: {what}")
    return root


def without_mixture(files: Mapping[str, FileRecording]) -> dict[str, FileRecording]:
    """All but the mixture."""
    return {name: sound for name, sound in files.items() if name != MIXTURE_NAME}


def songs_of_files(files: Iterable[InputFile]) -> list[GallerySong]:
    """Songs of which only mixtures are known.

    Raises:
        InputError: an entry is no readable file.
    """
    songs = []
    for file in files:
        if file.path is None or file.fault:
            raise InputError(file.fault or "input=-: expected files or a folder")
        songs.append(GallerySong(file.track, FileRecording(file.path)))
    return songs


def songs_of_tracks(
    tracks: Iterable[Track], stems: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> list[GallerySong]:
    """Songs of a data set.

    Args:
        tracks: tracks of a split.
        stems: stems of the data set.
        groups: stems whose sum is a target, by target; those that the data set lacks are ignored.
    """
    known = {name: tuple(m) for name, m in groups.items() if set(m) <= set(stems)}
    sums = resolve_targets([*stems], stems) | known
    if "vocals" in stems and len(stems) > 1:
        sums |= resolve_targets("accompaniment", stems)
    return [
        GallerySong(
            track.name,
            TrackRecording(track, None),
            {
                name: TrackRecording(track, members)
                for name, members in sums.items()
                if not set(members) <= set(track.absent)
            },
        )
        for track in tracks
    ]


def songs_of_estimates(roots: Iterable[Path]) -> list[GallerySong]:
    """Songs of which only folders of estimates are known.

    The mixture of a song is the file `mixture` in one of its folders, or else the file that was
    separated, if `report.json` names it and it is unchanged.
    """
    songs: dict[str, GallerySong] = {}
    for root in roots:
        for name, files in song_folders(root).items():
            known = songs.get(name)
            if known is None or known.mixture is None:
                folder = next(iter(files.values())).path.parent
                mixture = files.get(MIXTURE_NAME) or separated_file(folder)
                songs[name] = GallerySong(name, mixture)
    return list(songs.values())


def separated_file(folder: Path) -> FileRecording | None:
    """The file that `separate` made the stems of a folder from; None if it is not there."""
    report = read_json(folder / "report.json")
    try:
        path, digest = Path(report["input"]["path"]), report["input"]["sha256"]
        offset = float(report["options"]["offset"])
        if path.is_file() and file_sha256(path) == digest:
            return FileRecording(path, offset)
    except (KeyError, TypeError, ValueError, OSError):
        pass
    return None
