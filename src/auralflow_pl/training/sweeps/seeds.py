"""Summary of the evaluations of an experiment with several seeds."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.comparing.members import Member, read_members
from auralflow_pl.evaluation.comparing.seeds import SeedSummary, summarize_seeds
from auralflow_pl.evaluation.comparing.winner import winner_texts
from auralflow_pl.evaluation.tables import titled_table
from auralflow_pl.system.files import write_text
from auralflow_pl.training.sweeps.results import SweepResult, varied_keys

log = logging.getLogger(__name__)

SEEDS_FILE = "seeds.csv"  # in the folder of the sweep


class SeedGroup(NamedTuple):
    """Jobs of a sweep that differ in their seed only, and were evaluated."""

    name: str  # its keys; empty if there is one group
    keys: Mapping[str, str]
    jobs: list[SweepResult]

    @property
    def member(self) -> Member:
        """Its evaluations, for a comparison."""
        return Member(self.name, [job.folder / str(job.evaluation) for job in self.jobs])


def seed_groups(jobs: Sequence[SweepResult]) -> list[SeedGroup]:
    """Evaluated jobs in groups with the same keys but `seed`, in the order of the jobs."""
    varied = [key for key in varied_keys(jobs) if key != "seed"]
    groups: dict[tuple[str, ...], SeedGroup] = {}
    for job in jobs:
        if job.evaluation is None or not (job.folder / job.evaluation).is_file():
            continue
        keys = {key: job.keys.get(key, "") for key in varied}
        shared = tuple(sorted(key for key in job.overrides if not key.startswith("seed=")))
        name = " ".join(f"{key}={value}" for key, value in keys.items())
        groups.setdefault(shared, SeedGroup(name, keys, [])).jobs.append(job)
    if len(groups) == 1:
        return [group._replace(name="", keys={}) for group in groups.values()]
    return list(groups.values())


def summarize_experiment(folder: Path, jobs: Sequence[SweepResult]) -> None:
    """Write seeds.csv, and log mean, spread and interval of each group, and the winner."""
    groups = seed_groups(jobs)
    if not groups:
        return
    try:
        found = read_members([group.member for group in groups])
    except InputError as error:
        log.warning("the evaluations are not summarized: %s", error)
        return
    rows = []
    for group in groups:
        for one in summarize_seeds(found.groups[group.name], found.headings):
            rows.append({**group.keys, **summary_row(one)})
            log.info("%s", f"{group.name}  {summary_line(one)}".strip())
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / SEEDS_FILE, text.getvalue())
    for line in winner_texts(found.groups, found.headings[0]):
        log.info("%s", line)
    log.info("%s", folder / SEEDS_FILE)


def summary_row(one: SeedSummary) -> dict[str, Any]:
    """A row of seeds.csv with four decimals; empty cells for what is unknown."""
    ends = (one.interval.low, one.interval.high) if one.interval else (None, None)
    values = zip(("mean", "spread", "low", "high"), (one.mean, one.spread, *ends), strict=True)
    cells = {name: "" if value is None else f"{value:.4f}" for name, value in values}
    size = {"tracks": one.tracks, "seeds": one.seeds}
    return {"target": one.target, "metric": one.heading.name, **cells, **size}


def summary_line(one: SeedSummary) -> str:
    """Mean, spread and interval of a group in words."""
    return ", ".join(summary_parts(one))


def summary_parts(one: SeedSummary) -> Iterator[str]:
    """The parts of `summary_line`."""
    yield f"{one.target}, {titled_table(one.heading)}: {one.mean:.2f}"
    if one.spread is not None:
        yield f"standard deviation of the seeds {one.spread:.2f}"
    if one.interval is None:
        yield "too few tracks for an interval"
    else:
        yield f"95% interval {one.interval.low:.2f} to {one.interval.high:.2f}"
    yield f"{one.tracks} tracks, {one.seeds} {'seed' if one.seeds == 1 else 'seeds'}"
