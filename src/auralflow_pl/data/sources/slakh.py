"""Slakh2100 (Manilow et al., 2019): songs synthesized from MIDI, one file for each instrument."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auralflow_pl.data.sources.multitracks import Multitracks
from auralflow_pl.data.sources.stem_folder import subfolders

SPLIT_FOLDERS = {"train": "train", "valid": "validation", "test": "test"}


class Slakh(Multitracks):
    """Slakh2100: `<root>/<train|validation|test>/<song>/metadata.yaml` and `stems/S00.flac`.

    Other folders, as `omitted` of the edition without duplicates, are not read. A root with none of
    these folders is divided as a `StemFolder` is. The music has no vocals.
    """

    kinds = ("vocals", "drums", "bass", "guitar", "piano")
    place = "<train|validation|test>/<song>/metadata.yaml and <song>/stems/S00.flac"

    def folders(self, root: Path, split: str) -> list[Path]:
        """Folders of the songs of a split, sorted by name."""
        if any((root / name).is_dir() for name in SPLIT_FOLDERS.values()):
            return subfolders(root / SPLIT_FOLDERS[split])
        return super().folders(root, split)

    def remedy(self, split: str) -> str:
        """What a data set without tracks of a split lacks, for messages."""
        return self.layout(split)

    def metadata(self, folder: Path) -> Path:
        """Path of `metadata.yaml`."""
        return folder / "metadata.yaml"

    def listed(self, content: Any, folder: Path) -> Iterator[tuple[str, str]]:
        """Class of the instrument and path of each file that was rendered."""
        for name, stem in content["stems"].items():
            if stem["audio_rendered"]:
                kind = "drums" if stem.get("is_drum") else str(stem["inst_class"]).lower()
                suffix = ".wav" if (folder / "stems" / f"{name}.wav").exists() else ".flac"
                yield kind, f"stems/{name}{suffix}"
