"""Scores of tracks and targets, and reading `eval.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auralflow_pl.errors import InputError
from auralflow_pl.system.files import read_json

ESTIMATE_NAME = "estimate"

REFERENCE_NAMES = ("mixture", "ibm", "oracle", "phase")

ScoreValue = float | None  # None: undefined


@dataclass(frozen=True)
class TargetScores:
    """Scores of one target of one track."""

    target: str
    values: dict[str, dict[str, ScoreValue]]  # by heading, then by `estimate` or reference
    frames: dict[str, list[ScoreValue]]  # values of the estimate per window, by heading


@dataclass(frozen=True)
class TrackScores:
    """Scores of all targets of one track."""

    track: str
    seconds: float
    targets: list[TargetScores]
    sound: str | None = None  # digest of the audio files; None: unknown

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> TrackScores:
        """Scores from the values of `plain`."""
        targets = [TargetScores(**target) for target in content["targets"]]
        return cls(content["track"], content["seconds"], targets, content.get("sound"))


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read an eval.json written by `evaluate`.

    Raises:
        InputError: the file has other content.
    """
    content = read_json(path)
    if isinstance(content, dict) and {"headings", "aggregates", "tracks"} <= content.keys():
        return content
    raise InputError(f"{path}: not written by `evaluate`; evaluate again, or remove it")
