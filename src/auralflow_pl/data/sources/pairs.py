"""Data sets with a folder for each stem and for the mixture, whose files are paired by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from auralflow_pl.audio.folders import named_sounds
from auralflow_pl.checks.values import one_of
from auralflow_pl.data.sources.fitting import Fitting, Part
from auralflow_pl.data.sources.stem_folder import check_link, divide_tracks, is_divided
from auralflow_pl.data.tracks import REST, SPLIT_NAMES, NoTracksError, Track, TrackSource
from auralflow_pl.errors import InputError

MOST_UNPAIRED = 5  # files without a partner that a message names


class PairedFolders(TrackSource):
    """Files of one name in a folder for each stem: `<root>/<train|valid|test>/<stem>/<track>.wav`.

    A folder `mixture` is optional, unless the stem `rest` has no folder: it is then the mixture
    minus the other stems. If `root` has none of the folders `train`, `valid` and `test`, the
    folders of the stems are in `root` itself, and the splits are chosen as in a `StemFolder`.

    Args:
        root: folder of the data set.
        stems: names of the stems, in the order of the tensors.
        max_tracks: use only the first tracks (by name) of each split.
        mismatch: what to do with files of a track that differ, see `Fitting`.
        missing: `error`, or `silent`: a stem without a file of that name is silence.

    Raises:
        InputError: no root, or an unknown choice.
    """

    def __init__(
        self,
        root: str | Path | None,
        stems: Sequence[str],
        max_tracks: int | None = None,
        mismatch: str = "error",
        missing: str = "error",
    ) -> None:
        if root is None:
            raise InputError("data.root: not given; pass data.root=<folder>")
        self.root = Path(root).expanduser()
        self.stems: tuple[str, ...] = tuple(stems)
        self.max_tracks = max_tracks
        self.fitting = Fitting(self.stems, mismatch, missing)
        self.files: dict[Path, dict[str, Path]] = {}  # by stem, of the tracks that were found

    def find(self, split: str) -> list[Path]:
        """Names of the tracks of a split below the folder of their stems, sorted.

        Raises:
            InputError: a folder is missing, or a file has no partner in another one.
        """
        one_of("split", split, SPLIT_NAMES)
        if not self.root.is_dir():
            raise InputError(f"data.root={self.root}: no such folder; {self.layout(split)}")
        divided = is_divided(self.root)
        place = self.root / split if divided else self.root
        found = self.pairs(place, split) if place.is_dir() else {}
        tracks = [place / name for name in sorted(found)]
        here = tracks if divided else divide_tracks(tracks)[split]
        if not here:
            few = "" if divided else f"too few songs to divide ({len(tracks)}), add some, or "
            raise NoTracksError(f"no {split} tracks in {place}; {few}{self.layout(split)}")
        self.files |= {track: found[track.name] for track in here}
        return here[: self.max_tracks]

    def pairs(self, place: Path, split: str) -> dict[str, dict[str, Path]]:
        """Files by name of the track and then of the stem.

        Raises:
            InputError: as for `find`.
        """
        known = {}
        for name in (*self.stems, "mixture"):
            check_link(place / name)
            if (place / name).is_dir():
                known[name] = named_sounds(place / name)
        needed = [stem for stem in self.stems if stem != REST or "mixture" not in known]
        for stem in needed:
            if stem not in known:
                hint = f" (or mixture, to make {REST} of)" if stem == REST else ""
                raise InputError(f"{place}: no folder {stem}{hint}; {self.layout(split)}")
        found: dict[str, dict[str, Path]] = {}
        for stem, files in known.items():
            for name, path in files.items():
                check_link(path)
                found.setdefault(name, {})[stem] = path
        silent = self.fitting.missing == "silent"
        self.check_partners(place, found, [n for n in known if n == "mixture" or not silent])
        return found

    def check_partners(
        self, place: Path, found: Mapping[str, Mapping[str, Path]], folders: Sequence[str]
    ) -> None:
        """Raise InputError unless every track has a file in all of some folders."""
        alone = []
        for name in sorted(found):
            absent = [folder for folder in folders if folder not in found[name]]
            if absent:
                path = next(iter(found[name].values()))
                alone.append(f"{path.relative_to(place)} (none in {', '.join(absent)})")
        if alone:
            more = len(alone) - MOST_UNPAIRED
            named = ", ".join(alone[:MOST_UNPAIRED]) + (f" and {more} more" if more > 0 else "")
            raise InputError(
                f"{place}: files without a partner of that name: {named}; add or remove them"
            )

    def layout(self, split: str) -> str:
        """Description of the expected layout, for messages."""
        names = [stem for stem in self.stems if stem != REST]
        if REST in self.stems:
            names.append("mixture")
        return f"expected [{split}/]{{{','.join(names)}}}/<track>.wav"

    def track(self, path: Path, split: str) -> Track:
        """Open a track that was found, after checking the headers of its files."""
        return self.fitting.track(
            {stem: Part.whole(file) for stem, file in self.files[path].items()},
            str(path),
            self.layout(split),
            name=path.name,
            split=split,
            root=self.root,
        )
