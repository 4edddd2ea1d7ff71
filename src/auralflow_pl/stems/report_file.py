"""The JSON report beside the stems: what is written into it, and what is believed of it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auralflow_pl.audio.reading import Source
from auralflow_pl.separator.engines.engine import engine_name
from auralflow_pl.stems.loading import LoadedModel
from auralflow_pl.stems.outputs import PICTURE_NAME, OutputTemplate, absolute_path
from auralflow_pl.stems.writer import StemWriter
from auralflow_pl.system.files import file_sha256, read_json

log = logging.getLogger(__name__)

REPORT_FORMAT = 1


@dataclass(frozen=True)
class ListedFile:
    """A stem or picture that a report lists."""

    path: Path  # absolute
    size: int  # bytes
    sha256: str | None  # None: the report is older than the digests

    @classmethod
    def of(cls, entry: Mapping[str, Any], folder: Path) -> ListedFile:
        """Read an entry of a report in `folder`.

        Raises:
            KeyError, TypeError: the entry was not written by `describe_file`.
        """
        return cls(absolute_path(folder / entry["file"]), entry["bytes"], entry.get("sha256"))

    def is_there(self) -> bool:
        """Return True if a regular file of this size exists."""
        return self.path.is_file() and self.path.stat().st_size == self.size

    def is_unchanged(self) -> bool:
        """Return True if the file still has the content that was written; a link never has."""
        if self.path.is_symlink() or not self.is_there():
            return False
        return self.sha256 in (None, file_sha256(self.path))


@dataclass(frozen=True)
class EarlierReport:
    """What an earlier run says of its files."""

    key: str  # see `StemJob.key`
    stems: Mapping[str, ListedFile]
    picture: ListedFile | None

    @property
    def files(self) -> dict[str, ListedFile]:
        """All files by name."""
        return {**self.stems, **({PICTURE_NAME: self.picture} if self.picture else {})}


def read_report(path: Path) -> EarlierReport | None:
    """Read a report of this package; None for any other file, or no file."""
    try:
        content = read_json(path)
        stems, picture = content["stems"], content.get("picture")
        if content["format"] != REPORT_FORMAT or not re.fullmatch("[0-9a-f]{64}", content["key"]):
            return None
        return EarlierReport(
            content["key"],
            {name: ListedFile.of(entry, path.parent) for name, entry in stems.items()},
            ListedFile.of(picture, path.parent) if picture else None,
        )
    except (KeyError, TypeError, AttributeError):
        return None


def listed_stems(reports: Iterable[Path]) -> set[Path]:
    """Resolved paths of the stems that reports list and that are still there."""
    found = [report for report in map(read_report, reports) if report]
    stems = [stem for report in found for stem in report.stems.values()]
    return {stem.path.resolve() for stem in stems if stem.is_there()}


def obsolete_files(
    template: OutputTemplate, track: str, finals: Iterable[Path], inputs: Collection[Path]
) -> list[Path]:
    """Files of the former separation of a track that the new one does not replace.

    Only unchanged files under the names that the template gives to this track are obsolete.
    Anything else that the former report lists stays, with a warning.

    Args:
        template: template of the output files.
        track: name of the track.
        finals: paths of the new files.
        inputs: resolved paths of files that must stay.
    """
    place = template.report(track)
    report, replaced = read_report(place), {absolute_path(path) for path in finals}
    out = []
    for name, listed in report.files.items() if report else ():
        if listed.path in replaced or not listed.path.exists():
            continue
        if not template.gives(listed.path, track, name):
            reason = "does not bear the name of a stem of this track"
        elif listed.path.resolve() in inputs:
            reason = "is an input"
        elif not listed.is_unchanged():
            reason = "was changed"
        else:
            out.append(listed.path)
            continue
        log.warning("%s lists %s, which %s; it stays", place, listed.path, reason)
    return out


def describe_input(source: Source) -> dict[str, Any]:
    """Entries of the report on the input."""
    return {
        "sample_rate": source.sample_rate,
        "channels": source.channels,
        "subtype": source.subtype,
        "tags": dict(source.tags),
    }


def describe_loaded_model(model: LoadedModel) -> dict[str, Any]:
    """Entries of the report on a model."""
    windows, rate, step = model.separator.windows, model.separator.sample_rate, model.step
    return {
        **({"step": asdict(step)} if step else {}),
        "ckpt": model.path,
        "sha256": model.sha256,
        "targets": list(model.separator.targets),
        "engine": engine_name(model.separator.network),
        "settings": dict(model.settings),
        "window_seconds": round(windows.length / rate, 3),
        "context_seconds": round(windows.context / rate, 3),
    }


def describe_stems(writer: StemWriter, finals: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Entries of the report on the stems.

    Args:
        writer: writer of the stems, closed.
        finals: final path of each stem.
        folder: folder of the report; the paths in it are relative to this folder.
    """
    files, layout = writer.files, writer.layout
    steps = files.encoding.steps
    with ThreadPoolExecutor(len(files.paths)) as pool:  # hashing takes most of the time
        described = pool.map(
            lambda name: describe_file(files.paths[name], finals[name], folder), files.paths
        )
    stems = {
        name: {
            **entries,
            "peak": round(files.peaks[name], 6),
            "loudness_lufs": round_optional(files.meters[name].integrated()),
        }
        for name, entries in zip(files.paths, described, strict=True)
    }
    return {
        "output": {
            "format": files.encoding.form,
            "subtype": files.encoding.subtype,
            "sample_rate": layout.sample_rate,
            "channels": layout.channels,
            "frames": files.frames,
            "gain": writer.gain,
        },
        "stems": stems,
        "null_error": files.null_error if layout.residual else None,
        "null_error_steps": files.null_error * steps if layout.residual and steps else None,
    }


def describe_file(path: Path, final: Path, folder: Path) -> dict[str, Any]:
    """Entries of the report on a file.

    Args:
        path: the file as it is now.
        final: its final path.
        folder: folder of the report; the path in it is relative to this folder.
    """
    return {
        "file": Path(os.path.relpath(final, folder)).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }


def round_optional(value: float | None) -> float | None:
    """Round a value to two decimals; None stays None."""
    return None if value is None else round(value, 2)


def speed_of(seconds: float, writer: StemWriter) -> dict[str, float]:
    """Entries of the report on speed: `seconds` of computation, and `times_real_time`."""
    music = writer.files.frames / writer.layout.sample_rate
    return {"seconds": round(seconds, 3), "times_real_time": round(music / seconds, 2)}
