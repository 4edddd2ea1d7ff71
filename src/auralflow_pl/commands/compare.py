"""The command `compare`: compare evaluations track by track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import CompareKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable
from auralflow_pl.evaluation.comparing.comparability import (
    check_distinct_models,
    check_same_settings,
    check_sound,
    common_headings,
    evaluation_names,
)
from auralflow_pl.evaluation.comparing.comparison import Comparison, compare_groups, only_in_some
from auralflow_pl.evaluation.comparing.members import Member, find_members
from auralflow_pl.evaluation.comparing.seeds import Group, target_names
from auralflow_pl.evaluation.pages import comparison_page
from auralflow_pl.evaluation.results import TrackScores, read_evaluation
from auralflow_pl.system.staging import check_writable, staged_folder

FEWEST_RESAMPLES = 100


def compare(config: DictConfig) -> list[Comparison]:
    """Compare evaluations, print a verdict for each metric and target, and write a page.

    Raises:
        InputError: there are fewer than two evaluations, one cannot be read, they have no metric
            and track in common, or they were measured differently.
    """
    config = validate(config, CompareKeys)
    check_options(config)
    members = find_members(to_plain(config)["runs"])
    contents = {path: read_evaluation(path) for member in members for path in member.paths}
    headings = common_headings(list(contents.values()))
    groups = checked_groups(members, contents)
    page = page_path(config.output, members[-1].paths[-1])
    found = compare_groups(groups, headings, config.confidence, config.resamples, config.seed)
    if not any(one.tracks for one in found):
        raise InputError("runs: no track and target in common; expected the same data set")
    targets = {name: list(chain(*map(target_names, runs))) for name, runs in groups.items()}
    notes = only_in_some("target", targets)
    having = {m.name: list(chain(*(contents[p]["headings"] for p in m.paths))) for m in members}
    notes += only_in_some("metric", having)
    names = [member.name for member in members]
    with staged_folder(page.parent) as folder:
        text = comparison_page(names, found, config.confidence, notes)
        (folder / page.name).write_text(text, encoding="utf-8")
    lines = [*(one.verdict(config.confidence) for one in found), *notes, str(page)]
    print(*map(printable, lines), sep="\n")
    return found


def checked_groups(
    members: Sequence[Member], contents: Mapping[Path, Mapping[str, Any]]
) -> dict[str, Group]:
    """Scores of the runs of each member, by its name.

    Raises:
        InputError: two runs were measured on different data or with different settings, or two of
            a group have the same checkpoint.
    """
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
    return {member.name: [scores[path] for path in member.paths] for member in members}


def check_options(config: DictConfig) -> None:
    """Raise InputError for numbers out of range, and for fewer than two runs."""
    if not 0 < config.confidence < 1:
        raise InputError(f"confidence={config.confidence}: expected more than 0 and less than 1")
    if config.resamples < FEWEST_RESAMPLES:
        raise InputError(f"resamples={config.resamples}: expected {FEWEST_RESAMPLES} or more")
    if len(config.runs) < 2:
        raise InputError(f"runs={list(config.runs)}: expected two or more evaluations")


def page_path(output: str | None, last: Path) -> Path:
    """Path of the page: `output`, or beside the tables of the last run.

    Raises:
        InputError: the path is a folder, or its folder cannot be written.
    """
    page = Path(output or last.parent / "comparison.html")
    if page.is_dir():
        raise InputError(
            f"output={page}: is a folder; expected a file, as in output={page}/comparison.html"
        )
    check_writable(page.parent)
    return page
