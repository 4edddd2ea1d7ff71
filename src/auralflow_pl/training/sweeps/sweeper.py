"""Runs the trials of an Optuna study as jobs of Hydra."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.checks.values import one_of, positive, within
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.system.extras import install_line, require_extra
from auralflow_pl.training.sweeps.results import (
    SweepResult,
    job_overrides,
    load_result,
    save_result,
)

if TYPE_CHECKING:
    from auralflow_pl.training.sweeps.study import SharedStudy, StudyTrial

log = logging.getLogger(__name__)


class StudySweeper(Sweeper):
    """Asks a study for values, runs them, and tells it the scores.

    Hydra imports this module at every start, so it does without Optuna until a sweep begins.

    Args:
        direction: `maximize` or `minimize`.
        study_name: in the database.
        storage: address of the database, for SQLAlchemy.
        n_trials: in all, with those of before.
        n_jobs: trials that the launcher is given at a time.
        max_failure_rate: share of them that may fail; if more do, the sweep stops.
        sampler: node of a sampler of Optuna.
        params: values to search, beside those of the command line, by key.
        trial: number of the trial, in the configuration of a job.
    """

    def __init__(
        self,
        direction: str,
        study_name: str,
        storage: str,
        n_trials: int,
        n_jobs: int,
        max_failure_rate: float,
        sampler: DictConfig,
        params: DictConfig | None = None,
        trial: int | None = None,
    ) -> None:
        self.direction = direction
        self.study_name = study_name
        self.storage = storage
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.max_failure_rate = max_failure_rate
        self.sampler = sampler
        self.params = params or {}
        self.trial = trial

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Check the keys, and make the launcher.

        Raises:
            InputError: a wrong value, or Optuna is not installed.
        """
        require_optuna()
        keys = to_plain(config.hydra.sweeper)
        given = {key: value for key, value in keys.items() if not key.startswith("_")}
        check_arguments(StudySweeper, given, "hydra.sweeper")
        one_of("hydra.sweeper.direction", self.direction, ("maximize", "minimize"))
        positive("hydra.sweeper.n_trials", self.n_trials)
        positive("hydra.sweeper.n_jobs", self.n_jobs)
        within("hydra.sweeper.max_failure_rate", self.max_failure_rate, 0, 1)
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has enough of them.

        Raises:
            InputError: nothing to search, or the study cannot be used.
        """
        from auralflow_pl.training.sweeps.search_space import parse_search_space
        from auralflow_pl.training.sweeps.study import SharedStudy

        searched = [f"{key}={value}" for key, value in self.params.items()]
        space = parse_search_space([*searched, *arguments], self.hydra_context.config_loader)
        self.validate_batch_is_legal(list(space.examples()))  # before any is in the study
        study = SharedStudy(
            Path(self.config.hydra.sweep.dir),
            self.storage,
            self.study_name,
            self.direction,
            space,
            to_plain(self.sampler),
        )
        with contextlib.closing(study):
            self.run_trials(study)

    def run_trials(self, study: SharedStudy) -> None:
        """Run batch after batch; what a job raised is raised when the others have ended."""
        raised: list[Exception] = []
        n_trials = self.n_trials
        if study.partial:
            n_trials = min(n_trials, math.prod(map(len, study.space.grid().values())))
        ask = iter(lambda: study.ask(n_trials), None)
        while batch := list(itertools.islice(ask, self.n_jobs)):
            jobs = [
                [
                    *study.space.overrides(trial.params),
                    f"hydra.sweeper.trial={trial.number}",
                    f"hydra.sweep.subdir={trial.folder}",
                ]
                for trial in batch
            ]
            scores = self.launch(batch, jobs, raised)
            failed = 0
            for trial, score in zip(batch, scores, strict=True):
                study.tell(trial.number, score)
                failed += score is None
            if failed / len(batch) > self.max_failure_rate:
                log.error(
                    "%d of %d trials failed, hydra.sweeper.max_failure_rate=%s: the sweep stops",
                    *(failed, len(batch), self.max_failure_rate),
                )
                break
        if raised:
            raise raised[0]

    def launch(
        self,
        batch: Sequence[StudyTrial],
        jobs: Sequence[Sequence[str]],
        raised: list[Exception],
    ) -> list[float | None]:
        """Run the jobs of a batch; returns their scores, None for those that failed.

        Launchers of several processes raise an error if one of them is killed, and return nothing
        of the other jobs. Their results are in their folders.
        """
        try:
            returned = self.launcher.launch(jobs, initial_job_idx=batch[0].number)
            return [job_score(job, raised) for job in returned]
        except Exception as error:
            folders = [Path(self.config.hydra.sweep.dir) / trial.folder for trial in batch]
            if not any(folder.is_dir() for folder in folders):
                raise  # no job has begun
            cause = f"no result: {type(error).__name__}: {one_line(error)}"
            log.error("%s", cause)
            return [score_in(folder, job, cause) for folder, job in zip(folders, jobs, strict=True)]


def score_in(folder: Path, job: Sequence[str], cause: str) -> float | None:
    """Score in the folder of a job; if there is no result, its cause is written as one."""
    result = load_result(folder)
    if result is None:
        own = [override for override in job if not override.lstrip("+~").startswith("hydra")]
        result = SweepResult(folder, job_overrides(own), None, cause)
        save_result(result)
    return result.score


def require_optuna() -> None:
    """Raise InputError unless Optuna 4 or newer is installed."""
    require_extra("sweep", "sweep=optuna")
    version = importlib.metadata.version("optuna")
    if int(version.partition(".")[0]) < 4:
        raise InputError(
            f"sweep=optuna: Optuna {version} is installed, expected 4 or newer; "
            f"{install_line('sweep')}"
        )


def job_score(job: JobReturn, raised: list[Exception]) -> float | None:
    """What a job returned, if it is a score; what it raised is logged and added."""
    try:
        score = float(job.return_value)
    except Exception as error:
        log.error("%s: %s", type(error).__name__, one_line(error))
        raised.append(error)
        return None
    return score if math.isfinite(score) else None
