"""HTML page of all runs of a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.comparing.members import Member, read_members
from auralflow_pl.evaluation.comparing.seeds import summarize_seeds
from auralflow_pl.evaluation.comparing.winner import winner_texts
from auralflow_pl.report.page import html_page
from auralflow_pl.training.overview.runs import Run

Bootstrap = tuple[float, int, int]  # confidence, resamples, seed


def runs_page(folder: Path, runs: Sequence[Run], page: Path, bootstrap: Bootstrap) -> str:
    """HTML page of runs: scores with intervals, keys that differ, cost, curves and links.

    Args:
        folder: folder of the runs, for the title.
        runs: what `find_runs` found.
        page: path of the page, to which links are relative.
        bootstrap: confidence level, resamples and seed of the intervals.
    """
    keys = differing_keys(runs)
    groups, notes = score_groups(runs, keys, bootstrap)
    notes += [f"{run.folder.name}: alarm: {line}" for run in runs for line in run.alarms]
    data = {
        "keys": keys,
        "runs": [run_row(run, keys, page.parent) for run in runs],
        "confidence": bootstrap[0],
        "groups": groups,
        "notes": notes,
    }
    ended = sum(run.state == "finished" for run in runs)
    subtitle = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {ended} finished"
    return html_page("runs", f"Runs of {folder.absolute().name}", subtitle, data)


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Keys that do not have the same value in all runs."""
    keys = dict.fromkeys(key for run in runs for key in run.keys)
    return [key for key in keys if len({run.keys.get(key) for run in runs}) > 1]


def group_name(run: Run, keys: Sequence[str]) -> str:
    """The values of a run by which it differs from others, but for its seed."""
    shown = (f"{key}={run.keys.get(key, '')}" for key in keys if key != "seed")
    return " ".join(shown)


def run_row(run: Run, keys: Sequence[str], base: Path) -> dict[str, Any]:
    """A run as plain values; links are relative to the folder `base`."""
    links = [
        {
            "label": os.path.relpath(path, run.folder),
            "href": quote(Path(os.path.relpath(path, base)).as_posix()),
        }
        for path in run.links
    ]
    return {
        "name": run.folder.name,
        "group": group_name(run, keys),
        "state": run.state,
        "keys": {key: run.keys.get(key, "") for key in keys},
        "score": run.result.cell if run.result else "",
        "metric": run.result.monitor if run.result else "",
        "steps": run.steps,
        "parameters": run.parameters,
        "seconds": run.seconds,
        "links": links,
        "curves": run.curves,
    }


def score_groups(
    runs: Sequence[Run], keys: Sequence[str], bootstrap: Bootstrap
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows with the scores of runs that differ in their seed only, and sentences on them."""
    members: dict[str, Member] = {}
    notes = []
    for run in runs:
        chosen = run.result.evaluation if run.result else None
        own = [run.folder / chosen] if chosen else run.evaluations
        own = [path for path in own if path.is_file()]
        if len(own) == 1:
            name = group_name(run, keys) or "all runs"
            members.setdefault(name, Member(name, [])).paths.extend(own)
        elif own:
            notes.append(f"{run.folder.name}: {len(own)} evaluations, see its links")
    if not members:
        return [], [*notes, "no run was evaluated, so there are no scores with intervals"]
    try:
        found = read_members(list(members.values()))
    except InputError as error:
        return [], [*notes, f"scores are not compared: {error}"]
    rows = []
    for name, group in found.groups.items():
        for one in summarize_seeds(group, found.headings, *bootstrap):
            ends = [one.interval.low, one.interval.high] if one.interval else None
            rows.append(
                {
                    "group": name,
                    "target": one.target,
                    "heading": one.heading._asdict(),
                    "mean": one.mean,
                    "spread": one.spread,
                    "interval": ends,
                    "tracks": one.tracks,
                    "seeds": one.seeds,
                }
            )
    return rows, [*notes, *winner_texts(found.groups, found.headings[0], *bootstrap)]
