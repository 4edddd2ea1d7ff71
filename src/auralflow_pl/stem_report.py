"""What a report says of input, models and stems."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auralflow_pl.audio.checks import check_file
from auralflow_pl.audio.reading import Source
from auralflow_pl.audio.stems import StemWriter
from auralflow_pl.engine import engine_of
from auralflow_pl.separation import Separator


@dataclass(frozen=True)
class Model:
    """A checkpoint that is ready to separate."""

    path: str
    sha256: str
    separator: Separator
    settings: Mapping[str, Any]  # of the separator, as far as they change the result


def model_digest(path: Path) -> str:
    """SHA-256 of a checkpoint, or of the files of an exported folder."""
    if not path.is_dir():
        return file_digest(path)
    parts = [f"{p.name} {file_digest(p)}" for p in sorted(path.iterdir()) if p.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        InputError: there is none.
    """
    check_file(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(source: Source) -> dict[str, Any]:
    """The input, for the report."""
    return {
        "sample_rate": source.sample_rate,
        "channels": source.channels,
        "subtype": source.subtype,
        "tags": dict(source.tags),
    }


def described_model(model: Model) -> dict[str, Any]:
    """A model, for the report."""
    windows, rate = model.separator.windows, model.separator.sample_rate
    return {
        "ckpt": model.path,
        "sha256": model.sha256,
        "targets": list(model.separator.targets),
        "engine": engine_of(model.separator.network),
        "settings": dict(model.settings),
        "window_seconds": round(windows.length / rate, 3),
        "context_seconds": round(windows.context / rate, 3),
    }


def described_stems(writer: StemWriter, finals: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """What was written, for the report; files relative to its folder."""
    files, layout = writer.files, writer.layout
    steps = files.encoding.steps
    stems = {
        name: {
            "file": os.path.relpath(finals[name], folder),
            "bytes": path.stat().st_size,
            "peak": round(files.peaks[name], 6),
            "loudness_lufs": rounded(files.meters[name].integrated()),
        }
        for name, path in files.paths.items()
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


def rounded(value: float | None) -> float | None:
    """Two decimals."""
    return None if value is None else round(value, 2)


def speed(seconds: float, writer: StemWriter) -> dict[str, float]:
    """Time that was needed, and how many times faster than the music it was."""
    music = writer.files.frames / writer.layout.sample_rate
    return {"seconds": round(seconds, 3), "times_real_time": round(music / seconds, 2)}
