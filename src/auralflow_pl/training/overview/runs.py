"""What the run folders below a folder hold: keys, state, cost, curves, evaluations and pages."""

from __future__ import annotations

import csv
import json
import logging
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.checkpoints.trained import read_training
from auralflow_pl.config.names import moved_paths
from auralflow_pl.config.saved import RUN_CONFIG, read_config
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.system.files import read_json
from auralflow_pl.training.callbacks.alarms import ALARMS_FILE
from auralflow_pl.training.start.claim import CLAIM_FILE
from auralflow_pl.training.sweeps.results import RESULT_FILE, SweepResult, job_order, load_result

MOST_POINTS = 400  # of a curve on a page

CURVES = ("val/", "train/loss_epoch", "train/loss_step")

SPEED = "throughput/steps_per_second"

PAGES = ("report.html", "comparison.html", "summary.csv", "seeds.csv", "train.log", RUN_CONFIG)

Curves = dict[str, list[tuple[int, float]]]  # points (step, value) by metric


class Run(NamedTuple):
    """A run folder."""

    folder: Path
    keys: dict[str, str]  # values by key: of a job those of the sweep, else all
    result: SweepResult | None  # None: no job of a sweep, or not finished
    state: str  # see `state_of`
    curves: Curves
    steps: int | None  # optimizer steps; None: no checkpoint
    parameters: int | None  # of the network
    seconds: float | None  # of training, without validation; None: no record of the speed
    evaluations: list[Path]  # eval.json
    links: list[Path]  # pages and tables
    alarms: list[str]  # lines of the callback `alarms`


def find_runs(folder: Path) -> list[Run]:
    """All run folders below a folder, or the folder itself if it is one.

    Raises:
        InputError: there are none.
    """
    if not folder.is_dir():
        raise InputError(f"folder={folder}: no such folder; expected one with run folders")
    marks = (RUN_CONFIG, RESULT_FILE, CLAIM_FILE, "train.log")
    places = [folder, *(path for path in folder.iterdir() if path.is_dir())]
    found = [place for place in places if any((place / mark).is_file() for mark in marks)]
    if not found:
        raise InputError(
            f"folder={folder}: holds no runs; expected a folder of a sweep, or one whose folders "
            f"are runs (with {RUN_CONFIG}, {RESULT_FILE} or train.log)"
        )
    runs = [read_run(place) for place in found]
    swept = {key for run in runs if run.result for key in run.keys}
    if swept:  # an unfinished job tells its configuration only
        runs = [r._replace(keys={k: v for k, v in r.keys.items() if k in swept}) for r in runs]
    return sorted(runs, key=lambda run: job_order(SweepResult(run.folder, [], None, None)))


def read_run(folder: Path) -> Run:
    """Read a run folder; what is missing or damaged in it is left out."""
    try:
        result = load_result(folder)
    except InputError:
        result = None
    steps, parameters = read_size(folder / "checkpoints")
    curves = read_csv(folder) or read_tensorboard(folder)
    speeds = [value for _, value in curves.pop(SPEED, []) if value > 0]
    seconds = steps * sum(1 / v for v in speeds) / len(speeds) if speeds and steps else None
    below = [path for path in sorted((folder / "eval").rglob("*")) if path.is_file()]
    links = [folder / name for name in PAGES] + [p for p in below if p.name in PAGES[:2]]
    return Run(
        folder,
        result.keys if result else flat_config(folder),
        result,
        state_of(folder, result),
        {name: thinned(points) for name, points in curves.items()},
        steps,
        parameters,
        seconds,
        [path for path in below if path.name == "eval.json"],
        [path for path in links if path.is_file()],
        read_alarms(folder / ALARMS_FILE),
    )


def state_of(folder: Path, result: SweepResult | None) -> str:
    """Whether a run has finished, as far as its folder tells.

    The log of a single run tells it, unless it was silent.
    """
    if result is not None:
        return f"failed: {result.error}" if result.error else "finished"
    if (folder / CLAIM_FILE).is_file():
        return "running, or killed"
    log = folder / "train.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    last = text.rstrip().rpartition("\n")[2]
    return "finished" if re.search(r"\b(best|no validation score)\b", last) else "no end recorded"


def read_size(checkpoints: Path) -> tuple[int | None, int | None]:
    """Optimizer steps and parameters in the checkpoint with the most steps."""
    found = []
    for path in checkpoints.glob("*.ckpt"):
        try:
            found.append(read_training(path))
        except InputError:
            continue
    if not found:
        return None, None
    last = max(found, key=lambda one: one.step)
    weights = (w for name, w in last.weights.items() if "running_" not in name)  # of batches
    return last.step, sum(w.numel() for w in weights if w.is_floating_point())


def read_alarms(path: Path) -> list[str]:
    """Lines of the alarms of a run; none if there is no file, or it is damaged."""
    content = read_json(path)
    given = content if isinstance(content, list) else []
    return [str(one["text"]) for one in given if isinstance(one, dict) and "text" in one]


def flat_config(folder: Path) -> dict[str, str]:
    """Keys of a run that is no job of a sweep, with the values of their leaves as texts."""
    try:
        config: Any = read_config(folder / RUN_CONFIG)
    except InputError:
        return {}
    place = (config.get("paths") or {}).get("run_dir")
    plain = moved_paths(config, place, "") if isinstance(place, str) else config
    return {key: value for key, value in leaves(plain) if not key.startswith("paths.")}


def leaves(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and values of nested mappings."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{where}.{key}" if where else str(key))
    else:
        yield where, node if isinstance(node, str) else json.dumps(node)


def read_csv(folder: Path) -> Curves:
    """Curves of `logger=csv`."""
    curves: Curves = {}
    for path in sorted((folder / "csv").glob("*.csv")):
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    if is_curve(name) and text:
                        add_point(curves, name, row.get("step"), text)
    return curves


def read_tensorboard(folder: Path) -> Curves:
    """Curves of `logger=tensorboard`."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    curves: Curves = {}
    for place in sorted({path.parent for path in (folder / "tensorboard").rglob("events.out.*")}):
        events = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 1})
        try:
            events.Reload()
        except Exception as error:  # a damaged file
            curves.setdefault(f"unreadable: {one_line(error, 80)}", [])
            continue
        for name in filter(is_curve, events.Tags()["scalars"]):
            for event in events.Scalars(name):
                add_point(curves, name, event.step, event.value)
    return curves


def is_curve(name: Any) -> bool:
    """Whether a page shows a metric, or needs it for the cost."""
    return isinstance(name, str) and (name.startswith(CURVES) or name == SPEED)


def add_point(curves: Curves, name: str, step: Any, value: Any) -> None:
    """Add a finite point to a curve; an incomplete row is left out."""
    try:
        point = int(float(step)), float(value)
    except (TypeError, ValueError):
        return
    if math.isfinite(point[1]):
        curves.setdefault(name, []).append(point)


def thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `MOST_POINTS` points of a curve in the order of their steps, with the last."""
    points = sorted(dict(points).items())
    every = -(-len(points) // MOST_POINTS)
    return points[-1::-every][::-1] if every else []
