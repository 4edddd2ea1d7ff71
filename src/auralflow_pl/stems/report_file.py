"""The JSON report written beside the stems."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auralflow_pl.audio.reading import Source
from auralflow_pl.separator.engine import engine_name
from auralflow_pl.stems.loading import LoadedModel
from auralflow_pl.stems.writer import StemWriter


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
    windows, rate = model.separator.windows, model.separator.sample_rate
    return {
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
    stems = {
        name: {
            "file": os.path.relpath(finals[name], folder),
            "bytes": path.stat().st_size,
            "peak": round(files.peaks[name], 6),
            "loudness_lufs": round_optional(files.meters[name].integrated()),
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


def round_optional(value: float | None) -> float | None:
    """Round a value to two decimals; None stays None."""
    return None if value is None else round(value, 2)


def speed_of(seconds: float, writer: StemWriter) -> dict[str, float]:
    """Entries of the report on speed: `seconds` of computation, and `times_real_time`."""
    music = writer.files.frames / writer.layout.sample_rate
    return {"seconds": round(seconds, 3), "times_real_time": round(music / seconds, 2)}
