"""Several data sets with different layouts, stems and bandwidths as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.checks.values import one_of, positive
from auralflow_pl.data.sources.manifest import Manifest
from auralflow_pl.data.sources.medleydb import MedleyDB
from auralflow_pl.data.sources.moisesdb import MoisesDB
from auralflow_pl.data.sources.musdb18 import Musdb18, Musdb18HQ
from auralflow_pl.data.sources.pairs import PairedFolders
from auralflow_pl.data.sources.slakh import Slakh
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.sources.unaligned import UnalignedFolders
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.data.tracks import SPLIT_NAMES, NoTracksError, Track, TrackSource
from auralflow_pl.errors import InputError, shown

LAYOUTS: dict[str, type[TrackSource]] = {
    "stem_folder": StemFolder,
    "musdb18": Musdb18,
    "musdb18hq": Musdb18HQ,
    "medleydb": MedleyDB,
    "moisesdb": MoisesDB,
    "slakh": Slakh,
    "unaligned": UnalignedFolders,
    "manifest": Manifest,
    "pairs": PairedFolders,
}

SETS_EXAMPLE = "{<name>:{layout:stem_folder,root:<folder>},...}"


class MixedSets(TrackSource):
    """Data sets by name, each with its layout, and with stems that are stems or sums of them.

    Training draws from all. A target that a set has only as a part of a larger sum, as drums in
    `accompaniment`, is left out of the loss in its chunks. Validation and test use the songs of the
    sets that have all `stems`.

    Args:
        stems: stems of the training, in the order of the tensors.
        sets: arguments of a set by its name: `layout`, those of the layout's class (`root`, ...),
            `stems` (those of the training by default), `weight` (relative number of chunks) and
            `bandwidth` (Hz; there is no sound above).
        groups: names of sums of stems.
        max_tracks: use only the first tracks of each split of each set.

    Raises:
        InputError: no sets, an unknown layout, stem or argument, or weights of some sets only.
    """

    def __init__(
        self,
        stems: Sequence[str],
        sets: Mapping[str, Mapping[str, Any]] | None,
        groups: Mapping[str, Sequence[str]] | None = None,
        max_tracks: int | None = None,
    ) -> None:
        self.stems = tuple(stems)
        self.sources: dict[str, TrackSource] = {}
        self.bandwidths: dict[str, float | None] = {}
        self.owners: dict[tuple[str, Path], str] = {}  # set by split and resolved path of a track
        if not sets:
            raise InputError(f"data.sets: none; pass data.sets={SETS_EXAMPLE}")
        if not isinstance(sets, Mapping):
            raise InputError(f"data.sets={shown(sets)}: expected {SETS_EXAMPLE}")
        weights: dict[Path, float] = {}
        for name, given in sets.items():
            where = f"data.sets.{name}"
            if not isinstance(given, Mapping):
                raise InputError(f"{where}: expected layout, root and other keys")
            arguments = {"stems": self.stems, "max_tracks": max_tracks} | dict(given)
            layout = one_of(f"{where}.layout", arguments.pop("layout", None), LAYOUTS)
            weight = arguments.pop("weight", None)
            band = arguments.pop("bandwidth", None)
            arguments["stems"] = self.ordered(where, arguments["stems"], groups)
            if layout.startswith("musdb18") and arguments.get("root") is None:
                raise InputError(f"{where}.root: not given; pass root:<folder>")
            check_arguments(LAYOUTS[layout], arguments, where)
            try:
                self.sources[name] = LAYOUTS[layout](**{"root": None} | arguments)
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            self.bandwidths[name] = (
                None if band is None else positive(f"{where}.bandwidth", band, "Hz")
            )
            if weight is not None:
                weights[Path(name)] = positive(f"{where}.weight", weight)
        if weights and len(weights) < len(sets):
            raise InputError(
                f"data.sets: weight for {', '.join(map(str, weights))} only; pass one for each set"
            )
        self.weights = weights

    def ordered(
        self, where: str, stems: Sequence[str], groups: Mapping[str, Sequence[str]] | None
    ) -> tuple[str, ...]:
        """Stems of a set in the order of the training's, sums of stems last.

        Raises:
            InputError: one is neither a stem nor a sum of stems.
        """
        if isinstance(stems, str) or not isinstance(stems, Sequence):
            raise InputError(f"{where}.stems={shown(stems)}: expected a list, as in [vocals,drums]")
        try:
            resolve_targets(tuple(stems), self.stems, groups)
        except InputError as error:
            raise InputError(f"{where}.stems: {error}") from error
        own = [stem for stem in self.stems if stem in stems]
        return (*own, *(stem for stem in stems if stem not in self.stems))

    def prepare(self) -> None:
        """Prepare all sets."""
        for source in self.sources.values():
            source.prepare()

    def find(self, split: str) -> list[Path]:
        """Paths of the tracks of all sets; for valid and test of those with all `stems`."""
        one_of("split", split, SPLIT_NAMES)
        found: list[Path] = []
        for name, source in self.sources.items():
            if split != "train" and tuple(source.stems) != self.stems:
                continue
            try:
                paths = source.find(split)
            except NoTracksError as error:
                if split != "train":
                    continue
                raise InputError(f"data.sets.{name}: {error}") from error
            except InputError as error:
                raise InputError(f"data.sets.{name}: {error}") from error
            for path in paths:
                owner = self.owners.setdefault((split, path.resolve()), name)
                if owner != name:
                    raise InputError(f"{path}: in data.sets.{name} and in data.sets.{owner}")
            found += paths
        if not found:
            raise NoTracksError(
                f"no {split} songs: expected a set in data.sets with {split} songs that have "
                f"all of data.stems=[{','.join(self.stems)}]"
            )
        return found

    def track(self, path: Path, split: str) -> Track:
        """Open a track of its set."""
        name = self.owners[split, path.resolve()]
        track = self.sources[name].track(path, split)
        return replace(track, root=Path(name), bandwidth=self.bandwidths[name])
