"""Data sets in folders: `<root>/<train|valid|test>/<track>/<stem>.wav`, as in MUSDB18-HQ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auralflow_pl.audio.reading import Header, read_header
from auralflow_pl.data.tracks import SPLITS, Track, TrackSource
from auralflow_pl.errors import InputError, did_you_mean

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif", ".mp3")  # in the order of preference


class StemFolder(TrackSource):
    """Tracks of a folder; a `mixture` file beside the stems is optional.

    Args:
        root: folder that holds `train`, `valid` and `test`.
        stems: file names without suffix, in the order in which tensors hold them.
        max_tracks: use only the first tracks (by name) of each split.
    """

    def __init__(
        self, root: str | Path, stems: Sequence[str], max_tracks: int | None = None
    ) -> None:
        self.root = Path(root)
        self.stems = tuple(stems)
        self.max_tracks = max_tracks

    def tracks(self, split: str) -> list[Track]:
        """The tracks of a split, by name, every one checked by its headers."""
        if split not in SPLITS:
            raise InputError(f"split={split}: {did_you_mean(split, SPLITS)}")
        if not self.root.is_dir():
            raise InputError(f"data.root={self.root}: no such folder; {self.layout(split)}")
        folders = sorted(p for p in (self.root / split).glob("[!.]*") if p.is_dir())
        folders = folders[: self.max_tracks]
        if not folders:
            raise InputError(f"no tracks in data.root={self.root}/{split}; {self.layout(split)}")
        return [self.track(folder, split) for folder in folders]

    def layout(self, split: str) -> str:
        """The expected layout, for messages."""
        return f"expected {split}/<track>/{{{','.join(self.stems)}}}.wav"

    def track(self, folder: Path, split: str) -> Track:
        """Find the stems of one track and compare their headers."""
        stems = {stem: find(folder, stem) for stem in self.stems}
        missing = [stem for stem, path in stems.items() if path is None]
        if missing:
            raise InputError(f"{folder}: no file for {', '.join(missing)}; {self.layout(split)}")
        paths = {stem: path for stem, path in stems.items() if path is not None}
        first, *rest = paths.values()
        header = read_header(first)
        mixture = find(folder, "mixture")
        for path in [*rest, *([mixture] if mixture else [])]:
            check_alike(first, header, path, read_header(path))
        if header.frames == 0:
            raise InputError(f"{first}: holds no samples")
        return Track(
            folder.name, split, header.sample_rate, header.frames, header.channels, paths, mixture
        )


def find(folder: Path, stem: str) -> Path | None:
    """The file of a stem, or None."""
    return next((p for s in SUFFIXES if (p := folder / f"{stem}{s}").is_file()), None)


def check_alike(path: Path, header: Header, other: Path, other_header: Header) -> None:
    """Raise InputError if two files of a track differ in rate, channels or length."""
    for field, unit in (("sample_rate", "Hz"), ("channels", "channels"), ("frames", "samples")):
        one, two = getattr(header, field), getattr(other_header, field)
        if one != two:
            raise InputError(
                f"{other}: {two} {unit}, but {path.name} has {one}; stems of a track must agree"
            )
