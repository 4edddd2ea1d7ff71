"""Sweeps: what every job left, what is missing, and all of them side by side."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from auralflow_pl.config.monitors import SCORE
from auralflow_pl.errors import InputError
from auralflow_pl.report.spare import spare_result
from auralflow_pl.system.files import write_json, write_text

log = logging.getLogger(__name__)

RESULT_FILE = "result.json"  # in the run folder of a job

KEPT = ("score", "error", "monitor", "mode", "evaluation")  # older results lack the last three


class SweepResult(NamedTuple):
    """A job of a sweep that has ended."""

    folder: Path
    overrides: Sequence[str]  # as on the command line: key=value
    score: float | None  # in dB, or in the unit of the metric; None: it failed
    error: str | None  # one line
    monitor: str = SCORE  # the metric
    mode: str = "max"  # or `min`, if lower is better
    evaluation: str | None = None  # with `seeds`: path of its eval.json in the folder

    @property
    def keys(self) -> dict[str, str]:
        """Values by key."""
        return dict(override.lstrip("+~").split("=", 1) for override in self.overrides)

    @property
    def column(self) -> str:
        """Heading of the score in the table."""
        return "score_db" if self.monitor == SCORE else self.monitor

    @property
    def cell(self) -> str:
        """The score in the table; empty if the job failed."""
        if self.score is None:
            return ""
        return f"{self.score:.3f}" if self.monitor == SCORE else f"{self.score:.6g}"

    @property
    def outcome(self) -> str:
        """The score with its unit or metric, or why the job failed."""
        if self.score is None:
            return f"failed: {self.error}"
        score = f"{self.cell} dB" if self.monitor == SCORE else f"{self.monitor} {self.cell}"
        return f"{score}, failed: {self.error}" if self.error else score

    @property
    def merit(self) -> float:
        """The score for a comparison, in which higher is better; -inf if the job failed."""
        if self.score is None:
            return -math.inf
        return self.score if self.mode == "max" else -self.score


def job_overrides(overrides: Sequence[str]) -> list[str]:
    """What a job consists of: overrides without quotation marks, and without where it is kept.

    The number of seeds is left out too, so that there may be more of them later.
    """
    plain = (override.replace("'", "").replace('"', "") for override in overrides)
    return [override for override in plain if not override.startswith(("paths.", "seeds="))]


def save_result(job: SweepResult) -> None:
    """Write what came out into the folder of the job."""
    content = {"overrides": list(job.overrides)} | {name: getattr(job, name) for name in KEPT}
    write_json(job.folder / RESULT_FILE, content)


def load_result(folder: Path) -> SweepResult | None:
    """What came out of a job, if it has ended.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / RESULT_FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {name: content[name] for name in KEPT if name in content}
        return SweepResult(folder, content["overrides"], **values)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged; delete it to run the job again") from error


def finished_before(folder: Path, overrides: Sequence[str]) -> SweepResult | None:
    """The result of a job that needs no second run.

    Raises:
        InputError: the folder is that of a job with other overrides.
    """
    job = load_result(folder)
    if job is not None and sorted(job.overrides) != sorted(overrides):
        raise InputError(
            f"{folder}: is of another sweep ({' '.join(job.overrides)}); choose another "
            "paths.run_dir, or repeat the sweep with the same values"
        )
    return job if job is not None and job.score is not None else None


def write_table(folder: Path) -> list[SweepResult]:
    """Write summary.csv of the jobs that have ended in a sweep's folder.

    Returns:
        the jobs in their order.

    Raises:
        InputError: a result is damaged.
    """
    found = (load_result(path.parent) for path in folder.glob(f"*/{RESULT_FILE}"))
    jobs = sorted((job for job in found if job), key=job_order)
    varied = varied_keys(jobs)
    columns = score_columns(jobs)
    rows = [
        {"job": job.folder.name, **{key: job.keys.get(key, "") for key in varied}}
        | {column: job.cell if job.column == column else "" for column in columns}
        | {"error": job.error or ""}
        for job in jobs
    ]
    if rows:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "summary.csv", text.getvalue())
    return jobs


def summarize(folder: Path) -> list[SweepResult]:
    """Write summary.csv and summary.png of all jobs in a sweep's folder, and log the table."""
    jobs = write_table(folder)
    if not jobs:
        return []
    varied = varied_keys(jobs)
    column = score_columns(jobs)[0]
    scored = [job for job in jobs if job.score is not None and job.column == column]
    if scored:
        with spare_result(folder / "summary.png"):
            from auralflow_pl.report.figures import sweep_plot  # torch: --help does without

            label = "score in dB" if column == "score_db" else column
            values = [(job.keys, job.score) for job in scored]
            figure = sweep_plot(varied, values, label, lower_is_better=scored[0].mode == "min")
            figure.savefig(folder / "summary.png", dpi=100)
    for job in jobs:
        chosen = "  ".join(f"{key}={job.keys.get(key, '')}" for key in varied)
        rivals = [other.merit for other in jobs if other.column == job.column]
        first = job.score is not None and len(rivals) > 1 and job.merit == max(rivals)
        mark = f"  ({'highest' if job.mode == 'max' else 'lowest'})" if first else ""
        log.info("%4s  %s  %s%s", job.folder.name, chosen, job.outcome, mark)
    log.info("%s", folder / "summary.csv")
    if len(scored) > 1 and not any(job.evaluation for job in jobs):
        log.info(
            "no winner shown: one score per job does not tell better values from chance; train "
            "them with seeds=3, which evaluates every training on the test split and compares"
        )
    return jobs


def score_columns(jobs: Sequence[SweepResult]) -> list[str]:
    """Headings of the scores: one, unless the jobs have different metrics."""
    return list(dict.fromkeys(job.column for job in jobs if job.score is not None)) or ["score_db"]


def varied_keys(jobs: Sequence[SweepResult]) -> list[str]:
    """Keys that do not have the same value in every job; all of them, if none is."""
    keys = list(dict.fromkeys(key for job in jobs for key in job.keys))
    varied = [key for key in keys if len({job.keys.get(key) for job in jobs}) > 1]
    return varied or keys


def job_order(job: SweepResult) -> tuple[str, int]:
    """Order of jobs: by the time in their name, if there is one, then by their number."""
    start, _, last = job.folder.name.rpartition("-")
    return (start, int(last)) if last.isdigit() else (job.folder.name, 0)
