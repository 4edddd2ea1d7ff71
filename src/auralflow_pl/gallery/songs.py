"""The songs of a gallery: where their mixtures and true stems are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auralflow_pl.audio.folders import named_sounds
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.data.tracks import SPLIT_NAMES, Track
from auralflow_pl.errors import InputError
from auralflow_pl.gallery.recordings import FileRecording, Recording, SumRecording, TrackRecording
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

    The name of a track is its path below `root`, see `common_names`. If there are sound files in
    `root` itself and in no folder below it, it is the folder of one track.

    Args:
        root: a folder.
        ignored: names of files that are left out.

    Raises:
        InputError: a folder has two files of one name.
    """
    found = {folder: named_sounds(folder, ignored=ignored) for folder in folders_below(root)}
    own = found.pop(root, {})
    tracks = {folder: files for folder, files in found.items() if files} or {root: own}
    return {
        folder.relative_to(root).as_posix() if folder != root else root.absolute().name: {
            name: FileRecording(path) for name, path in files.items()
        }
        for folder, files in sorted(tracks.items())
        if files
    }


def common_names(sources: Sequence[Sequence[str]]) -> dict[str, str]:
    """Names of songs, equal for the same song of several sources, by their paths there.

    A name lacks the folder of a split, and the folder `mixture` of stems that were separated from
    a file of this name. A song keeps its path as its name where it could be mistaken for another:
    where that name is in two splits, or twice in one source.

    Args:
        sources: paths of the songs of each source, `[<split>/]<song>[/mixture]`.
    """
    paths = list(dict.fromkeys(path for source in sources for path in source))
    doubtful = set()
    for source in sources:
        doubtful |= {name for name, times in Counter(map(song_name, source)).items() if times > 1}
    splits = {(song_name(path), split_of(path)) for path in paths if split_of(path)}
    doubtful |= {name for name, times in Counter(name for name, _ in splits).items() if times > 1}
    names = {path: song_name(path) for path in paths}
    return {path: path if name in doubtful else name for path, name in names.items()}


def split_of(path: str) -> str:
    """Split in whose folder a song lies; empty if it lies in none."""
    first, _, rest = path.partition("/")
    return first if rest and first in SPLIT_NAMES else ""


def song_name(path: str) -> str:
    """Path of a song without the folder of its split and the folder `mixture`."""
    name = path.removeprefix(f"{split_of(path)}/") if split_of(path) else path
    return name.removesuffix(f"/{MIXTURE_NAME}")


def songs_of_folder(root: Path, key: str) -> list[GallerySong]:
    """Songs whose true stems, and perhaps mixtures, lie in a folder; see `song_folders`.

    Messages name the folder by its `key`.

    Raises:
        InputError: there is no such folder, or it holds no songs.
    """
    folders = song_folders(existing_folder(root, key))
    if not folders:
        raise InputError(f"{key}={root}: holds no songs; expected <track>/<stem>.wav")
    songs = []
    for name, files in folders.items():
        truth = {stem: sound for stem, sound in files.items() if stem != MIXTURE_NAME}
        songs.append(GallerySong(name, files.get(MIXTURE_NAME) or sum_of_stems(truth), truth))
    return songs


def sum_of_stems(truth: Mapping[str, FileRecording]) -> SumRecording | None:
    """The mixture as the sum of all stems of a song; None of a single one.

    With `vocals` and `accompaniment`, it is their sum: further files are parts of them.
    """
    two = [truth[name] for name in ("vocals", "accompaniment") if name in truth]
    stems = two if len(two) == 2 else list(truth.values())
    return SumRecording(tuple(stems)) if len(stems) > 1 else None


def existing_folder(root: Path, key: str) -> Path:
    """The folder; raises InputError if it is none."""
    if not root.is_dir():
        what = "is a file, expected a folder" if root.exists() else "no such folder"
        raise InputError(f"{key}={root}: {what}")
    return root


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


def songs_of_estimates(
    folders: Sequence[Mapping[str, Mapping[str, FileRecording]]],
) -> list[GallerySong]:
    """Songs of which only estimates are known.

    The mixture of a song is the file `mixture` in one of its folders, or else the file that was
    separated, if `report.json` names it and it is unchanged.

    Args:
        folders: estimates by song and target, for each folder of the key `models`.
    """
    names = common_names([list(folder) for folder in folders])
    songs: dict[str, GallerySong] = {}
    for folder in folders:
        for path, files in folder.items():
            known = songs.get(names[path])
            if known is None or known.mixture is None:
                place = next(iter(files.values())).path.parent
                mixture = named_sounds(place, [MIXTURE_NAME]).get(MIXTURE_NAME)
                found = FileRecording(mixture) if mixture else separated_file(place)
                songs[names[path]] = GallerySong(names[path], found)
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
