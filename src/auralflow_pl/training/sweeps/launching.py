"""Runs jobs with any launcher of Hydra, so that no job takes the results of others with it."""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

from auralflow_pl.errors import one_line
from auralflow_pl.training.sweeps.results import (
    SweepResult,
    job_overrides,
    load_result,
    save_result,
    summarize,
)

log = logging.getLogger(__name__)


class PatientLauncher:
    """Returns a score for every job of a batch, whatever happened to its process.

    Launchers of several processes raise an error if one of them is killed, and return nothing of
    the other jobs. Here a job that died has no score, and its cause as its result.

    Args:
        launcher: that runs the jobs.
        hydra_context: of the sweep.
        config: of the sweep.

    Attributes:
        raised: what jobs raised so far.
    """

    def __init__(self, launcher: Launcher, hydra_context: HydraContext, config: DictConfig) -> None:
        self.launcher = launcher
        self.hydra_context = hydra_context
        self.config = config
        self.raised: list[Exception] = []

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> list[JobReturn]:
        """Run the jobs of a batch; each returns its score, NaN if it failed.

        Raises:
            Exception: what the launcher raised before it began a job.
        """
        numbered = list(enumerate(job_overrides, initial_job_idx))
        try:
            with deaths_returned(self.launcher):
                returned = list(self.launcher.launch(job_overrides, initial_job_idx))
        except Exception as error:
            if not any(self.folder(*job).is_dir() for job in numbered):
                raise
            returned = [death(error) for _ in numbered]
        pairs = zip(numbered, returned, strict=True)
        return [completed(self.score(*job, result)) for job, result in pairs]

    def score(self, number: int, overrides: Sequence[str], returned: JobReturn) -> float:
        """Score of a job, NaN without one; what it raised is logged and added to `raised`."""
        if isinstance(returned, Death):
            return score_in(self.folder(number, overrides), overrides, returned.cause)
        try:
            return float(returned.return_value)
        except Exception as error:
            log.error("job %s failed: %s: %s", number, type(error).__name__, one_line(error))
            self.raised.append(error)
            return float("nan")

    def folder(self, number: int, overrides: Sequence[str]) -> Path:
        """Run folder of a job."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return Path(config.hydra.sweep.dir) / str(config.hydra.sweep.subdir)

    def finish(self) -> None:
        """Raise what a job raised first, if any did, after the summary of all jobs."""
        if self.raised:
            summarize(Path(self.config.hydra.sweep.dir))
            raise self.raised[0]


class Death(JobReturn):
    """What is returned of a job whose process ended without a result."""

    cause: str


def death(error: Exception) -> Death:
    """What is returned of a job in place of an error of its launcher."""
    returned = Death(status=JobStatus.FAILED)
    returned.return_value, returned.cause = error, short_cause(error)
    return returned


def completed(score: float) -> JobReturn:
    """What is returned of a job with this score."""
    returned = JobReturn(status=JobStatus.COMPLETED)
    returned.return_value = score
    return returned


def short_cause(error: Exception) -> str:
    """Why a job has no result, without the paths and hints that launchers add."""
    text = str(error)
    if state := re.search(r"has not produced any output \(state: ([^)]*)\)", text):  # of submitit
        told = "" if state[1] in ("FINISHED", "UNKNOWN") else f" ({state[1]})"
        return f"no result: its process ended or was killed{told}"
    if '\n  File "' in text:  # a traceback; submitit puts it between lines
        text = re.split(r"\n-{5,}\n?", text.partition('\n  File "')[2])[0].strip().splitlines()[-1]
        return f"no result: {one_line(text)}"
    first = re.split(r"(?<=\w)\.\s", f"{one_line(text, None)} ")[0]
    return f"no result: {type(error).__name__}: {one_line(first)}"


def score_in(folder: Path, overrides: Sequence[str], cause: str) -> float:
    """Score in the folder of a job; if there is no result, its cause is written as one."""
    result = load_result(folder)
    if result is None:
        log.error("job %s failed: %s", folder.name, cause)
        own = [key for key in overrides if not key.lstrip("+~").startswith("hydra")]
        result = SweepResult(folder, job_overrides(own), None, cause)
        save_result(result)
    return float("nan") if result.score is None else result.score


@contextlib.contextmanager
def deaths_returned(launcher: Launcher) -> Iterator[None]:
    """Let submitit and Ray wait for all jobs of a batch, and return a `Death` of those that died.

    Their launchers take the results one after the other, and leave at the first error. The other
    jobs still run then, or wait in the queue of a cluster.
    """
    plugin = type(launcher).__module__
    with contextlib.ExitStack() as stack:
        if plugin.startswith("hydra_plugins.hydra_submitit_launcher"):
            job = importlib.import_module("submitit").Job
            stack.enter_context(replaced(job, "results", lambda error: [death(error)]))
        elif plugin.startswith("hydra_plugins.hydra_ray_launcher"):
            stack.enter_context(replaced(importlib.import_module("ray"), "get", death))
        yield


@contextlib.contextmanager
def replaced(owner: Any, name: str, instead: Callable[[Exception], Any]) -> Iterator[None]:
    """Within the block, a function returns what `instead` makes of an error that it raises."""
    original = getattr(owner, name)

    def call(*arguments: Any, **keys: Any) -> Any:
        try:
            return original(*arguments, **keys)
        except Exception as error:
            return instead(error)

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)
