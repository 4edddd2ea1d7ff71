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

from auralflow_pl.errors import InputError
from auralflow_pl.report.spare import spare_result
from auralflow_pl.system.files import write_text

log = logging.getLogger(__name__)

RESULT_FILE = "result.json"  # in the run folder of a job


class SweepResult(NamedTuple):
    """A job of a sweep that has ended."""

    folder: Path
    overrides: Sequence[str]  # as on the command line: key=value
    score: float | None  # in dB; None: it failed
    error: str | None  # one line

    @property
    def keys(self) -> dict[str, str]:
        """Values by key."""
        return dict(override.lstrip("+~").split("=", 1) for override in self.overrides)


def job_overrides(overrides: Sequence[str]) -> list[str]:
    """What a job consists of: overrides without quotation marks, and without where it is kept."""
    plain = (override.replace("'", "").replace('"', "") for override in overrides)
    return [override for override in plain if not override.startswith("paths.")]


def save_result(job: SweepResult) -> None:
    """Write what came out into the folder of the job."""
    job.folder.mkdir(parents=True, exist_ok=True)
    content = {"overrides": list(job.overrides), "score": job.score, "error": job.error}
    part = job.folder / f"{RESULT_FILE}.part"
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    part.replace(job.folder / RESULT_FILE)


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
        return SweepResult(folder, content["overrides"], content["score"], content["error"])
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


def write_table(folder: Path) -> tuple[list[SweepResult], list[dict[str, str]]]:
    """Write summary.csv of the jobs that have ended in a sweep's folder.

    Returns:
        the jobs in their order, and the rows of the table.

    Raises:
        InputError: a result is damaged.
    """
    found = (load_result(path.parent) for path in folder.glob(f"*/{RESULT_FILE}"))
    jobs = sorted((job for job in found if job), key=job_order)
    varied = varied_keys(jobs)
    rows = [
        {"job": job.folder.name, **{key: job.keys.get(key, "") for key in varied}}
        | {"score_db": "" if job.score is None else f"{job.score:.3f}", "error": job.error or ""}
        for job in jobs
    ]
    if rows:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "summary.csv", text.getvalue())
    return jobs, rows


def summarize(folder: Path) -> list[SweepResult]:
    """Write summary.csv and summary.png of all jobs in a sweep's folder, and log the table."""
    jobs, rows = write_table(folder)
    if not jobs:
        return []
    varied = varied_keys(jobs)
    scored = [(job.keys, job.score) for job in jobs if job.score is not None]
    if scored:
        with spare_result(folder / "summary.png"):
            from auralflow_pl.report.figures import sweep_plot  # torch: --help does without

            sweep_plot(varied, scored).savefig(folder / "summary.png", dpi=100)
    best = max(float(row["score_db"] or -math.inf) for row in rows)
    for row in rows:
        chosen = "  ".join(f"{key}={row[key]}" for key in varied)
        outcome = f"failed: {row['error']}" if row["error"] else f"{row['score_db']} dB"
        mark = "  (best)" if row["score_db"] and float(row["score_db"]) == best else ""
        log.info("%4s  %s  %s%s", row["job"], chosen, outcome, mark)
    log.info("%s", folder / "summary.csv")
    return jobs


def varied_keys(jobs: Sequence[SweepResult]) -> list[str]:
    """Keys that do not have the same value in every job; all of them, if none is."""
    keys = list(dict.fromkeys(key for job in jobs for key in job.keys))
    varied = [key for key in keys if len({job.keys.get(key) for job in jobs}) > 1]
    return varied or keys


def job_order(job: SweepResult) -> tuple[str, int]:
    """Order of jobs: by the time in their name, if there is one, then by their number."""
    start, _, last = job.folder.name.rpartition("-")
    return (start, int(last)) if last.isdigit() else (job.folder.name, 0)
