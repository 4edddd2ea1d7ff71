"""Data sets in folders: `<root>/<train|valid|test>/<track>/<stem>.<format>`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from auralflow_pl.audio.reading import AUDIO_SUFFIXES, Header, read_header
from auralflow_pl.checks.values import one_of
from auralflow_pl.data.tracks import SPLITS, FileTrack, Track, TrackSource
from auralflow_pl.errors import InputError
from auralflow_pl.system.files import text_sha256

HELD_OUT_SHARE = 0.1  # share of the tracks of an undivided folder that goes to valid, and to test


class StemFolder(TrackSource):
    """Tracks in folders, with a file for each stem in any format that can be read.

    A `mixture` file beside the stems is optional. Where `root` has none of the folders `train`,
    `valid` and `test`, every folder in it is a track, and names decide about the split: a tenth
    goes to valid and a tenth to test (one track at least), always the same ones.

    Args:
        root: folder of the data set.
        stems: file names without suffix, in the order in which tensors hold them.
        max_tracks: use only the first tracks (by name) of each split of each root.
        roots: several such folders instead of one.
        weights: how often chunks come from each root, relative to each other; None: in proportion
            to the length of its music.

    Raises:
        InputError: no root, the same one twice, or weights that do not fit.
    """

    def __init__(
        self,
        root: str | Path | None,
        stems: Sequence[str],
        max_tracks: int | None = None,
        roots: Sequence[str | Path] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        given = [root] if roots is None and root is not None else list(roots or [])
        self.roots = [Path(folder) for folder in given]
        self.stems: tuple[str, ...] = tuple(stems)
        self.max_tracks = max_tracks
        if not self.roots:
            raise InputError("data.root: not given; pass data.root=<folder>")
        if len({folder.resolve() for folder in self.roots}) < len(self.roots):
            raise InputError(f"data.roots={[str(folder) for folder in given]}: one is there twice")
        if weights is not None:
            check_weights(weights, len(self.roots))
            self.weights = dict(zip(self.roots, weights, strict=True))

    def find(self, split: str) -> list[Path]:
        """The folders of the tracks of a split, root by root, by name."""
        one_of("split", split, SPLITS)
        found = [folder for root in self.roots for folder in self.folders_in(root, split)]
        if not found:
            places = ", ".join(f"{root}/{split}" for root in self.roots)
            raise InputError(f"no tracks in data.root={places}; {self.layout(split)}")
        return found

    def folders_in(self, root: Path, split: str) -> list[Path]:
        """The folders of the tracks in one root; not every root needs every split."""
        if not root.is_dir():
            raise InputError(f"data.root={root}: no such folder; {self.layout(split)}")
        return self.folders(root, split)[: self.max_tracks]

    def folders(self, root: Path, split: str) -> list[Path]:
        """The folders of the tracks of a split, by name."""
        if any((root / name).is_dir() for name in SPLITS):
            return subfolders(root / split)
        return divide_tracks(subfolders(root))[split]

    def layout(self, split: str) -> str:
        """The expected layout, for messages."""
        return f"expected {split}/<track>/{{{','.join(self.stems)}}}.wav"

    def track(self, folder: Path, split: str) -> Track:
        """Find the stems of one track and compare their headers."""
        found = {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in AUDIO_SUFFIXES}
        missing = [stem for stem in self.stems if stem not in found]
        if missing:
            raise InputError(f"{folder}: no file for {', '.join(missing)}; {self.layout(split)}")
        has_mixture = "mixture" in found
        files = tuple(found[s] for s in (*self.stems, *(["mixture"] if has_mixture else [])))
        first, *rest = files
        header = read_header(first)
        for path in rest:
            check_alike(first, header, path, read_header(path))
        if header.frames == 0:
            raise InputError(f"{first}: holds no samples")
        return FileTrack(
            folder.name,
            split,
            header.sample_rate,
            header.frames,
            header.channels,
            self.stems,
            has_mixture,
            files,
            next(root for root in self.roots if root in folder.parents),
        )


class AudioFolder(StemFolder):
    """A `StemFolder` that is read on the fly, for collections larger than memory and disk cache.

    Chunks are read by seeking in the files, so formats in which that is cheap (WAV, FLAC) serve
    best, and the files must have the sample rate of the training.
    """

    pooled = False


def check_weights(weights: Sequence[float], roots: int) -> None:
    """Raise InputError unless there is a positive weight for each root."""
    if len(weights) != roots or not all(math.isfinite(w) and w > 0 for w in weights):
        raise InputError(
            f"data.weights={list(weights)}: expected {roots} positive numbers, one for each root"
        )


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, by name."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir())


def divide_tracks(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Splits of an undivided data set, from nothing but the names of its tracks."""
    drawn = sorted(folders, key=lambda path: text_sha256(path.name))
    count = max(1, round(HELD_OUT_SHARE * len(drawn)))
    parts = {"valid": drawn[:count], "test": drawn[count : 2 * count], "train": drawn[2 * count :]}
    return {split: sorted(part) for split, part in parts.items()}


def check_alike(path: Path, header: Header, other: Path, other_header: Header) -> None:
    """Raise InputError if two files of a track differ in rate, channels or length."""
    for field, unit in (("sample_rate", "Hz"), ("channels", "channels"), ("frames", "samples")):
        one, two = getattr(header, field), getattr(other_header, field)
        if one != two:
            raise InputError(
                f"{other}: {two} {unit}, but {path.name} has {one}; stems of a track must agree"
            )
