"""Evaluations that the key `runs` stands for: single ones, and groups of several seeds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.config.names import moved_paths
from auralflow_pl.config.saved import RUN_CONFIG, read_config
from auralflow_pl.errors import InputError, shown
from auralflow_pl.evaluation.comparing.comparability import (
    check_distinct_models,
    check_same_settings,
    check_sound,
    common_headings,
    evaluation_names,
    find_evaluation,
)
from auralflow_pl.evaluation.comparing.comparison import list_names
from auralflow_pl.evaluation.comparing.seeds import Group
from auralflow_pl.evaluation.results import TrackScores, read_evaluation
from auralflow_pl.metrics.base import MetricInfo

RUN_KEYS = ("seed", "seeds", "resume", "print_config", "silent", "paths")  # of each run


class Member(NamedTuple):
    """What is compared: one evaluation, or those of a group."""

    name: str
    paths: list[Path]  # of their eval.json


def find_members(runs: Sequence[Any]) -> list[Member]:
    """Evaluations of each entry: a path, a list of paths, or a folder with runs of several seeds.

    Raises:
        InputError: an entry has no evaluation or is empty, the runs of a folder differ in more than
            their seed, or a run stands twice where there are groups.
    """
    places = [
        seed_folders(Path(run)) if isinstance(run, str) else named_folders(run) for run in runs
    ]
    found = [[find_evaluation(path) for path in paths] for paths in places]
    paths = list(itertools.chain(*found))
    if any(len(group) > 1 for group in found):
        seen = [path.resolve() for path in paths]
        twice = next((path for path in paths if seen.count(path.resolve()) > 1), None)
        if twice is not None:
            raise InputError(
                f"runs: {twice.parent} stands twice; expected every run once, as runs of several "
                "seeds are counted as independent"
            )
    names = dict(zip(paths, evaluation_names(paths), strict=True))
    labels = [
        list_names([names[path] for path in group])
        if len(group) == 1 or not isinstance(run, str)
        else Path(run).absolute().name
        for run, group in zip(runs, found, strict=True)
    ]
    if len(set(labels)) < len(labels):  # such as folders of the same name
        labels = [f"{number}: {label}" for number, label in enumerate(labels, 1)]
    return [Member(*pair) for pair in zip(labels, found, strict=True)]


def named_folders(entry: Any) -> list[Path]:
    """Paths of a group that is a list.

    Raises:
        InputError: the entry is no list of paths, or empty.
    """
    if isinstance(entry, list) and entry and all(isinstance(path, str) and path for path in entry):
        return [Path(path) for path in entry]
    given = "[]" if entry == [] else shown(entry)
    raise InputError(f"runs: {given} in it; expected folders, or lists of folders: [[a,b],[c,d]]")


def seed_folders(folder: Path) -> list[Path]:
    """Run folders below a folder that differ in their seed only; else the path itself.

    Raises:
        InputError: they differ in more than their seed.
    """
    if not folder.is_dir() or (folder / "eval.json").is_file() or (folder / "eval").is_dir():
        return [folder]
    runs = sorted((path.parent for path in folder.glob(f"*/{RUN_CONFIG}")), key=by_number)
    groups: list[tuple[Any, list[Path]]] = []
    for run in runs:
        keys = shared_keys(run)
        group = next((paths for known, paths in groups if known == keys), None)
        if group is None:
            groups.append((keys, [run]))
        else:
            group.append(run)
    if len(groups) > 1:
        lists = ",".join(f"[{','.join(map(str, paths))}]" for _, paths in groups)
        raise InputError(
            f"runs={folder}: its runs differ in more than their seed; pass them in groups, "
            f"runs='[{lists}]'"
        )
    return runs or [folder]


def by_number(folder: Path) -> tuple[int, str]:
    """Order of folders: by number, then by name."""
    return (int(folder.name) if folder.name.isdigit() else -1, folder.name)


def shared_keys(run: Path) -> Mapping[str, Any]:
    """Configuration of a run without its seed and its folder."""
    config = read_config(run / RUN_CONFIG)
    paths = config.get("paths")
    place = paths.get("run_dir") if isinstance(paths, dict) else None
    kept = {key: value for key, value in config.items() if key not in RUN_KEYS}
    return moved_paths(kept, place, "") if isinstance(place, str) else kept


class Evaluations(NamedTuple):
    """Content of the evaluations of all members."""

    groups: dict[str, Group]  # scores of the runs of each member, by its name
    headings: list[MetricInfo]  # that all have
    contents: dict[Path, dict[str, Any]]  # of each eval.json


def read_members(members: Sequence[Member]) -> Evaluations:
    """Read the evaluations of all members.

    Raises:
        InputError: one cannot be read, they have no metric in common, two were measured on
            different data or with different settings, or two of a group have the same checkpoint.
    """
    contents = {path: read_evaluation(path) for member in members for path in member.paths}
    headings = common_headings(list(contents.values()))
    scores = {
        path: [TrackScores.from_plain(track) for track in content["tracks"]]
        for path, content in contents.items()
    }
    names = dict(zip(contents, evaluation_names(list(contents)), strict=True))
    first, *others = contents
    for path in others:
        check_same_settings(names[first], contents[first], names[path], contents[path])
        check_sound(names[first], scores[first], names[path], scores[path])
    for member in members:
        check_distinct_models(member.name, [contents[path] for path in member.paths])
    groups = {member.name: [scores[path] for path in member.paths] for member in members}
    return Evaluations(groups, headings, contents)
