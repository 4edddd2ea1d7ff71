"""A data set in folders, some of whose tracks are left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auralflow_pl.data import StemFolder


class OwnSongs(StemFolder):
    """Songs in `<root>/<split>/<track>/<stem>.wav`.

    Args:
        root: folder of the songs.
        stems: file names without suffix, in the order in which tensors hold them.
        leave_out: names of tracks that are not used.
    """

    def __init__(self, root: str, stems: Sequence[str], leave_out: Sequence[str] = ()) -> None:
        super().__init__(root, stems)
        self.leave_out = frozenset(leave_out)

    def find(self, split: str) -> list[Path]:
        """The folders of the tracks of a split."""
        return [folder for folder in super().find(split) if folder.name not in self.leave_out]
