"""Check that evaluations were measured on the same data with the same settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.comparing.comparison import list_names
from auralflow_pl.evaluation.results import TrackScores
from auralflow_pl.metrics.base import MetricInfo

NEAR_SECONDS = 0.01  # largest difference between the lengths of a track


def check_same_settings(
    first: str, before: Mapping[str, Any], name: str, after: Mapping[str, Any]
) -> None:
    """Raise InputError if two evaluations measured a target or metric with different settings.

    Args:
        first: name of the first evaluation.
        before: content of its eval.json.
        name: name of the other evaluation.
        after: content of its eval.json.
    """
    old, new = (dict(measured_with(content)) for content in (before, after))
    different = [
        f"{key}={json.dumps(old[key])} in {first} and {json.dumps(new[key])} in {name}"
        for key in old
        if key in new and old[key] != new[key]
    ]
    if different:
        raise InputError(
            f"runs: {', '.join(different)}; evaluate both with the same settings, then compare"
        )


def check_distinct_models(name: str, contents: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError if two evaluations of a group are of the same checkpoint."""
    known = [(content.get("settings") or {}).get("checkpoint") for content in contents]
    models = [model for model in known if model is not None]
    if len(set(models)) < len(models):
        raise InputError(
            f"runs: {name}: two of these runs are of the same checkpoint; expected runs of "
            "different seeds"
        )


def measured_with(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and values of the settings that scores depend on.

    There are none in tables written by versions that did not store settings.
    """
    settings = content.get("settings") or {}
    targets = settings.get("targets", {})
    for name, members in targets.items():
        yield f"targets.{name}", sorted(members)
    if settings.get("rest") and list(targets) != ["vocals"]:
        yield "targets.rest", ["mixture", *(f"-{name}" for name in sorted(targets))]
    yield "published_references", settings.get("published_references")
    for name, options in settings.get("metrics", {}).items():
        for key, value in options.items():
            yield f"metrics.{name}.{key}", value


def check_sound(
    first: str, before: Sequence[TrackScores], name: str, after: Sequence[TrackScores]
) -> None:
    """Raise InputError if tracks of the same name were measured on different audio."""
    old = {track.track: track for track in before}
    different = [
        new.track for new in after if new.track in old and unlike_settings(old[new.track], new)
    ]
    if different:
        raise InputError(
            f"runs: {list_names(different)}: not the same sound in {first} and {name}; "
            "evaluate both on the same data set, then compare"
        )


def unlike_settings(one: TrackScores, other: TrackScores) -> bool:
    """Return True if two results were measured on different audio.

    The lengths are compared, and the digests of the files if both are known.
    """
    known = None not in (one.sound, other.sound)
    return abs(one.seconds - other.seconds) > NEAR_SECONDS or (known and one.sound != other.sound)


def find_evaluation(path: Path) -> Path:
    """Path of the `eval.json` for a path: the file itself, in the folder, or below its `eval`.

    Raises:
        InputError: there is none, or several.
    """
    if path.is_file():
        return path
    if (path / "eval.json").is_file():
        return path / "eval.json"
    found = sorted((path / "eval").rglob("eval.json"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"runs={path}: no eval.json there; expected the output of `evaluate`")
    places = ", ".join(str(p.parent) for p in found)
    raise InputError(f"runs={path}: holds {len(found)} evaluations, name one of {places}")


def common_headings(contents: Sequence[dict[str, Any]]) -> list[MetricInfo]:
    """Headings that all evaluations have.

    Raises:
        InputError: there are none.
    """
    first, *others = (content["headings"] for content in contents)
    found = [MetricInfo(**first[name]) for name in first if all(name in h for h in others)]
    if not found:
        raise InputError("runs: no metric in common; evaluate both with the same metrics=[...]")
    return found


def evaluation_names(paths: Sequence[Path]) -> list[str]:
    """Short distinct names of `eval.json` files: of their run folders, else of their own."""
    folders = [path.absolute().parent for path in paths]
    runs = [f.parents[2] if f.parent.parent.name == "eval" else f for f in folders]
    return distinct_names(runs if len(set(runs)) == len(runs) else folders)


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """Shortest parts of the folders' paths that are distinct and no bare numbers; else numbered."""
    parts = [folder.absolute().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        ends = [part[-length:] for part in parts]
        while len(ends) > 1 and len({end[-1:] for end in ends}) == 1 and ends[0]:
            ends = [end[:-1] for end in ends]  # what all have in common tells nothing
        names = ["/".join(end) for end in ends]
        if len(set(names)) == len(names) and not any(name.isdigit() for name in names):
            return names
    return [f"{number}: {folder}" for number, folder in enumerate(folders, 1)]
