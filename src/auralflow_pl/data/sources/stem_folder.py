"""Data sets in folders: `<root>/[<train|valid|test>/]<track>/<stem>.<format>`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from auralflow_pl.audio.folders import named_sounds
from auralflow_pl.checks.values import one_of, positive
from auralflow_pl.data.sources.fitting import Fitting, Part
from auralflow_pl.data.tracks import SPLIT_NAMES, NoTracksError, Track, TrackSource
from auralflow_pl.errors import InputError
from auralflow_pl.system.files import text_sha256
from auralflow_pl.system.folders import visible

log = logging.getLogger(__name__)

SYSTEM_FOLDERS = {  # made by operating systems and storage devices, beside hidden ones
    "__MACOSX", "@eaDir", "@Recycle", "#recycle", "#snapshot", "lost+found", "$RECYCLE.BIN",
    "System Volume Information",
}  # fmt: skip

HELD_OUT_SHARE = 0.1  # share of the tracks of an undivided folder in each of valid and test


class StemFolder(TrackSource):
    """A data set in folders, with one sound file per stem in any readable format.

    The folder of a track is `<root>/<split>/<track>`, or `<root>/<track>` if `root` has none of the
    folders `train`, `valid` and `test`. The split of a track is then chosen by a hash of its name:
    a tenth of the tracks, at least one, are in valid and as many in test.

    A `mixture` file beside the stems is optional; hidden files are skipped. The stem `rest`, if it
    has no file, is the mixture minus the other stems.

    Args:
        root: folder of the data set.
        stems: file names without suffix, in the order of the tensors.
        max_tracks: use only the first tracks (by name) of each split of each root.
        roots: several folders instead of `root`.
        weights: relative number of chunks from each root; None: in proportion to the total length
            of its tracks.
        mismatch: what to do with stems of a track that differ, see `Fitting`.
        missing: what to do with a stem without a file, see `Fitting`.

    Raises:
        InputError: no root, a repeated root, weights that do not match the roots, or an unknown
            choice.
    """

    def __init__(
        self,
        root: str | Path | None,
        stems: Sequence[str],
        max_tracks: int | None = None,
        roots: Sequence[str | Path] | None = None,
        weights: Sequence[float] | None = None,
        mismatch: str = "error",
        missing: str = "error",
    ) -> None:
        given = [root] if roots is None and root is not None else list(roots or [])
        self.roots = [Path(folder) for folder in given]
        self.stems: tuple[str, ...] = tuple(stems)
        self.max_tracks = max_tracks
        self.fitting = Fitting(self.stems, mismatch, missing)
        if not self.roots:
            raise InputError("data.root: not given; pass data.root=<folder>")
        if len({folder.resolve() for folder in self.roots}) < len(self.roots):
            raise InputError(f"data.roots={[str(folder) for folder in given]}: a root is repeated")
        if weights is not None:
            check_weights(weights, len(self.roots))
            self.weights = dict(zip(self.roots, weights, strict=True))

    def find(self, split: str) -> list[Path]:
        """Folders of the tracks of a split, root by root, sorted by name."""
        one_of("split", split, SPLIT_NAMES)
        found = [folder for root in self.roots for folder in self.folders_in(root, split)]
        if not found:
            places = ", ".join(f"{r / split if is_divided(r) else r}" for r in self.roots)
            raise NoTracksError(f"no tracks in data.root={places}; {self.remedy(split)}")
        return found

    def folders_in(self, root: Path, split: str) -> list[Path]:
        """Folders of the tracks of a split in one root; may be empty."""
        if not root.is_dir():
            raise InputError(f"data.root={root}: no such folder; {self.layout(split)}")
        return self.folders(root, split)[: self.max_tracks]

    def folders(self, root: Path, split: str) -> list[Path]:
        """Folders of the tracks of a split, sorted by name."""
        if is_divided(root):
            return subfolders(root / split)
        return divide_tracks(subfolders(root))[split]

    def layout(self, split: str) -> str:
        """Description of the expected layout, for messages."""
        place = f"[{split}/]<track>/{{{','.join(self.stems)}}}.wav"
        return f"expected {place}, with folders train, valid and test or with none of them"

    def remedy(self, split: str) -> str:
        """What a data set without tracks of a split lacks, for messages."""
        songs = sum(len(subfolders(root)) for root in self.roots if not is_divided(root))
        if not songs:
            return self.layout(split)
        return (
            f"too few songs to divide without folders train, valid and test ({songs}): add some "
            f"(3 at least in one folder), make {split}/<track>, or add to data.roots=[..]"
        )

    def track(self, folder: Path, split: str) -> Track:
        """Find the files of one track and check that their headers agree."""
        found = named_sounds(folder, (*self.stems, "mixture"))
        if not {*self.stems} & {*found} and (others := named_sounds(folder, ignored=["mixture"])):
            raise InputError(
                f"{folder}: no file for {', '.join(self.stems)}; found {', '.join(others)}: if "
                f"these are the stems, pass data.stems=[{','.join(others)}]"
            )
        return self.fitting.track(
            {name: Part.whole(path) for name, path in found.items()},
            str(folder),
            self.layout(split),
            name=folder.name,
            split=split,
            root=next(root for root in self.roots if root in folder.parents),
        )


class AudioFolder(StemFolder):
    """A `StemFolder` whose files are read directly, for collections too large for the pool.

    Chunks are read by seeking in the files, which is fast for WAV and FLAC. The files must have
    the sample rate of the training.
    """

    pooled = False


def check_weights(weights: Sequence[float], roots: int) -> None:
    """Raise InputError unless there is one positive weight for each root."""
    if len(weights) != roots:
        raise InputError(f"data.weights={list(weights)}: expected {roots}, one for each root")
    for number, weight in enumerate(weights):
        positive(f"data.weights.{number}", weight)


def is_divided(root: Path) -> bool:
    """Whether a data set has a folder for at least one split."""
    return any((root / name).is_dir() for name in SPLIT_NAMES)


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder without hidden ones and `SYSTEM_FOLDERS`, sorted by name.

    Raises:
        InputError: the folder or an entry of it is a link to nothing.
    """
    check_link(folder)
    entries = visible(folder)
    skipped = [path.name for path in entries if path.name in SYSTEM_FOLDERS]
    if skipped:
        warn_of_skipped(folder, tuple(skipped))
    paths = [path for path in entries if path.name not in SYSTEM_FOLDERS]
    for path in paths:
        check_link(path)
    return [path for path in paths if path.is_dir()]


def check_link(path: Path) -> None:
    """Raise InputError if a path is a link to nothing."""
    if path.is_symlink() and not path.exists():
        raise InputError(
            f"{path}: a link to {path.readlink()}, which is missing; mend or remove it"
        )


@cache
def warn_of_skipped(folder: Path, names: tuple[str, ...]) -> None:
    """Log the folders that are not tracks, once for each folder of a data set."""
    log.warning("%s: skipped %s, made by the operating system", folder, ", ".join(names))


def divide_tracks(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Divide the tracks of an undivided data set into splits, by hashes of their names."""
    drawn = sorted(folders, key=lambda path: text_sha256(path.name))
    count = max(1, round(HELD_OUT_SHARE * len(drawn)))
    parts = {"valid": drawn[:count], "test": drawn[count : 2 * count], "train": drawn[2 * count :]}
    return {split: sorted(part) for split, part in parts.items()}
