"""Base of data sets in which a stem is the sum of the files that a metadata file assigns to it."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from auralflow_pl.checks.strict_yaml import load_yaml
from auralflow_pl.data.sources.fitting import Part
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.tracks import REST, Track
from auralflow_pl.errors import InputError, did_you_mean, one_line, os_reason

OTHER = "other"  # stem of all that has no stem of its own


class Multitracks(StemFolder):
    """Songs of many files, each with a metadata file that tells what they hold.

    A file whose kind is none of `stems` belongs to `other`; without this stem to `rest`; without
    both it is heard in the mixture only. The mixture is the sum of all files. Songs are divided
    into splits as in a `StemFolder`.

    Args:
        root: folder of the songs.
        stems: stems in the order of the tensors, of those that the data set has.
        max_tracks: use only the first tracks (by name) of each split of each root.
        roots: several folders instead of `root`.
        weights: as for a `StemFolder`.
        mismatch: as for a `StemFolder`; with `pad`, files may be shorter than others.
        missing: `error`, or `silent`: a stem for which a song has no file is silence.

    Raises:
        InputError: as for a `StemFolder`, or a stem that the data set does not have.
    """

    kinds: ClassVar[tuple[str, ...]]  # names of stems that the data set has, without `other`
    place: ClassVar[str]  # layout of a song, for messages

    def __init__(
        self,
        root: str | Path | None,
        stems: Sequence[str] = ("vocals", "drums", "bass", OTHER),
        max_tracks: int | None = None,
        roots: Sequence[str | Path] | None = None,
        weights: Sequence[float] | None = None,
        mismatch: str = "pad",
        missing: str = "silent",
    ) -> None:
        super().__init__(root, stems, max_tracks, roots, weights, mismatch, missing)
        known = (*self.kinds, OTHER, REST)
        for stem in self.stems:
            if stem not in known:
                raise InputError(f"data.stems={stem}: {did_you_mean(stem, known)}")

    @abstractmethod
    def metadata(self, folder: Path) -> Path:
        """Path of the metadata file of a song."""

    @abstractmethod
    def listed(self, content: Any, folder: Path) -> Iterator[tuple[str, str]]:
        """Kind and path, relative to the folder of the song, of each file in the metadata.

        Raises:
            LookupError, TypeError, AttributeError: the metadata are not as expected.
        """

    def layout(self, split: str) -> str:  # noqa: ARG002 - songs of all splits may lie in one folder
        """Description of the expected layout, for messages."""
        return f"expected {self.place}"

    def track(self, folder: Path, split: str) -> Track:
        """Find the files of one song in its metadata and check their headers."""
        kinds = self.kinds_of_files(folder)
        others = next((name for name in (OTHER, REST) if name in self.stems), "")
        owned = [(kind if kind in self.stems else others, path) for path, kind in kinds.items()]
        parts, files = zip(*sorted(owned), strict=True)
        absent = tuple(stem for stem in self.stems if stem not in parts)
        if absent and (self.fitting.missing == "error" or len(absent) == len(self.stems)):
            raise InputError(
                f"{folder}: no file for {', '.join(absent)}; pass data.missing=silent, with "
                f"{OTHER} among data.stems, or remove the song"
            )
        root = next(root for root in self.roots if root in folder.parents)
        known = {"name": folder.name, "split": split, "stems": self.stems, "root": root}
        known |= {"has_mixture": "" in parts, "parts": parts}
        return self.fitting.fitted([Part.whole(path) for path in files], absent, known)

    @contextmanager
    def as_expected(self, source: Path) -> Iterator[None]:
        """Raise InputError if the metadata of a file are not as the code within expects."""
        try:
            yield
        except (LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"{source}: not as expected ({type(error).__name__}: {one_line(error, 80)}); "
                f"{self.layout('')}"
            ) from error

    def kinds_of_files(self, folder: Path) -> dict[Path, str]:
        """Kind of each file of a song; all files exist.

        Raises:
            InputError: the metadata cannot be read, or name no files, or one that is missing, is
                named twice or lies outside the folder.
        """
        source = self.metadata(folder)
        content = read_metadata(source)
        with self.as_expected(source):
            entries = list(self.listed(content, folder))
        kinds: dict[Path, str] = {}
        for kind, name in entries:
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise InputError(f"{source}: {name} lies outside the folder of the song")
            if not path.is_file():
                raise InputError(f"{source}: lists {name}, which is missing; {self.layout('')}")
            if path in kinds:
                raise InputError(f"{source}: lists {name} twice")
            kinds[path] = kind
        if not kinds:
            raise InputError(f"{source}: lists no files; {self.layout('')}")
        return kinds


def read_metadata(path: Path) -> Any:
    """Content of a JSON or YAML file.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; it tells what the files of the song hold")
    if path.suffix != ".json":
        return load_yaml(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {os_reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({one_line(error)})") from error
