"""MedleyDB (Bittner et al., 2014): songs with one processed file for each instrument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from auralflow_pl.data.sources.multitracks import OTHER, Multitracks, read_metadata

INSTRUMENTS = {  # by stem; labels of the data set's taxonomy, those that are not here are `other`
    "vocals": (
        "male singer", "female singer", "male rapper", "female rapper", "male speaker",
        "female speaker", "male screamer", "female screamer", "vocalists", "choir", "beatboxing",
    ),
    "drums": (
        "drum set", "drum machine", "kick drum", "snare drum", "toms", "high hat", "cymbal",
        "bass drum", "timpani", "bongo", "conga", "darbuka", "doumbek", "tabla", "gu",
        "auxiliary percussion", "tambourine", "shaker", "maracas", "cabasa", "guiro", "rattle",
        "castanet", "cowbell", "triangle", "gong", "sleigh bells", "claps", "snaps",
    ),
    "bass": ("electric bass", "double bass"),
    "guitar": (
        "acoustic guitar", "clean electric guitar", "distorted electric guitar",
        "lap steel guitar", "slide guitar",
    ),
    "piano": ("piano", "tack piano", "electric piano"),
}  # fmt: skip

STEM_OF_LABEL = {label: stem for stem, labels in INSTRUMENTS.items() for label in labels}

WHOLE_BAND = "main system"  # label of a recording of all instruments


class MedleyDB(Multitracks):
    """MedleyDB: `<root>/<song>/<song>_METADATA.yaml` and `<song>_STEMS/<song>_STEM_01.wav`.

    The songs may also be in `<root>/Audio`. A file with instruments of several stems belongs to
    `other`, and a recording of the whole band is not read. Splits do not depend on `skip_bleed`.

    Args:
        root: folder of the songs.
        stems: stems in the order of the tensors, of those that the data set has.
        max_tracks: use only the first tracks (by name) of each split of each root.
        roots: several folders instead of `root`.
        weights: as for a `StemFolder`.
        mismatch: as for `Multitracks`.
        missing: as for `Multitracks`.
        skip_bleed: leave out songs whose files have bleed, as their metadata say.

    Raises:
        InputError: as for `Multitracks`.
    """

    kinds = tuple(INSTRUMENTS)
    place = "<song>/<song>_METADATA.yaml and <song>/<song>_STEMS/<song>_STEM_01.wav"

    def __init__(
        self,
        root: str | Path | None,
        stems: Sequence[str] = ("vocals", "drums", "bass", OTHER),
        max_tracks: int | None = None,
        roots: Sequence[str | Path] | None = None,
        weights: Sequence[float] | None = None,
        mismatch: str = "pad",
        missing: str = "silent",
        skip_bleed: bool = False,
    ) -> None:
        super().__init__(root, stems, max_tracks, roots, weights, mismatch, missing)
        self.skip_bleed = skip_bleed

    def folders(self, root: Path, split: str) -> list[Path]:
        """Folders of the songs of a split, sorted by name."""
        inner = root / "Audio"
        found = super().folders(inner if inner.is_dir() else root, split)
        return [folder for folder in found if not (self.skip_bleed and self.has_bleed(folder))]

    def has_bleed(self, folder: Path) -> bool:
        """Whether the files of a song have bleed.

        Raises:
            InputError: the metadata cannot be read, or do not say it.
        """
        source = self.metadata(folder)
        content = read_metadata(source)
        with self.as_expected(source):
            return content["has_bleed"] in ("yes", True)

    def metadata(self, folder: Path) -> Path:
        """Path of the metadata file, which has the name of the song."""
        return folder / f"{folder.name}_METADATA.yaml"

    def listed(self, content: Any, folder: Path) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """Stem of the instruments and path of each mixed file."""
        for file in content["stems"].values():
            given = file["instrument"]
            labels = [str(one).lower() for one in (given if isinstance(given, list) else [given])]
            if WHOLE_BAND not in labels:
                stems = {STEM_OF_LABEL.get(label, OTHER) for label in labels}
                stem = stems.pop() if len(stems) == 1 else OTHER
                yield stem, f"{content['stem_dir']}/{file['filename']}"
