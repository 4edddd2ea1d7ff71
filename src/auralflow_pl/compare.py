"""The command `compare`: evaluations against each other, track by track."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from auralflow_pl.audio.staging import check_writable, staged
from auralflow_pl.config import CompareKeys, validated
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.base import Heading
from auralflow_pl.report.comparison import Comparison, compare_runs
from auralflow_pl.report.page import comparison_page
from auralflow_pl.scoring import TrackScores


def compare(config: DictConfig) -> list[Comparison]:
    """Compare evaluations, print a verdict for each metric and target, and write a page.

    Raises:
        InputError: fewer than two evaluations, one that cannot be read, or nothing in common.
    """
    config = validated(config, CompareKeys)
    if not 0 < config.confidence < 1:
        raise InputError(f"confidence={config.confidence}: expected more than 0 and less than 1")
    if len(config.runs) < 2:
        raise InputError(f"runs={list(config.runs)}: expected two or more evaluations")
    paths = [find_evaluation(Path(run)) for run in config.runs]
    contents = [read_evaluation(path) for path in paths]
    headings = common_headings(contents)
    names = distinct_names(paths)
    runs = {
        name: [TrackScores.from_plain(track) for track in content["tracks"]]
        for name, content in zip(names, contents, strict=True)
    }
    found = compare_runs(runs, headings, config.confidence, config.resamples, config.seed)
    if not found:
        raise InputError("runs: no track and target in common; expected the same data set")
    page = Path(config.output or paths[-1].parent / "comparison.html")
    check_writable(page.parent)
    with staged(page.parent) as folder:
        text = comparison_page(names, found, config.confidence)
        (folder / page.name).write_text(text, encoding="utf-8")
    for one in found:
        print(one.verdict(config.confidence))
    print(page)
    return found


def find_evaluation(path: Path) -> Path:
    """The `eval.json` that a folder is, or holds below `eval`.

    Raises:
        InputError: none, or several.
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


def read_evaluation(path: Path) -> dict[str, Any]:
    """What `evaluate` wrote.

    Raises:
        InputError: something else.
    """
    try:
        content = json.loads(path.read_text())
        if {"headings", "tracks"} <= content.keys():
            return content
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{path}: not written by `evaluate`; evaluate again")


def common_headings(contents: Sequence[dict[str, Any]]) -> list[Heading]:
    """Those that all evaluations have.

    Raises:
        InputError: there are none.
    """
    first, *others = (content["headings"] for content in contents)
    found = [Heading(**first[name]) for name in first if all(name in h for h in others)]
    if not found:
        raise InputError("runs: no metric in common; evaluate both with the same metrics=[...]")
    return found


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the folders' names that tell them apart."""
    parts = [path.absolute().parent.parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{number}: {path.parent}" for number, path in enumerate(paths, 1)]
