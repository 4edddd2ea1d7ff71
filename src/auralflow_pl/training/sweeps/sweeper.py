"""The sweepers: every combination of values, or the trials of an Optuna study, as jobs of Hydra."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.checks.arguments import check_arguments
from auralflow_pl.checks.values import one_of, positive, within
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.monitors import best_monitor
from auralflow_pl.errors import InputError
from auralflow_pl.system.extras import install_line, require_extra
from auralflow_pl.training.sweeps.launching import PatientLauncher

if TYPE_CHECKING:
    from auralflow_pl.training.sweeps.study import SharedStudy

log = logging.getLogger(__name__)


class GridSweeper(BasicSweeper):
    """Runs every combination of the values given; a job that dies leaves the others alone.

    With `seeds=3`, every combination has three jobs, with the seeds `seed`, `seed+1` and `seed+2`.

    Args:
        max_batch_size: jobs that the launcher is given at a time; None: all.
        params: values of keys, beside those of the command line.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the launcher.

        Raises:
            InputError: `seeds` is no number of trainings.
        """
        check_seeds(config)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.launcher = PatientLauncher(self.launcher, hydra_context, config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; what one raised is raised when the others have ended.

        Raises:
            InputError: several values of `seed` or of `seeds` beside `seeds`.
        """
        with multirun_file(self.config):
            returned = super().sweep(with_seeds(arguments, self.config))
        self.launcher.finish()
        return returned


@contextlib.contextmanager
def multirun_file(config: DictConfig) -> Iterator[None]:
    """Leave multirun.yaml as it was before the block, if the jobs are to leave nothing."""
    path = Path(config.hydra.sweep.dir) / "multirun.yaml"
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    finally:
        if is_trial_run(config):
            if before is not None:
                path.write_bytes(before)
            else:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # there are files in it
                    path.parent.rmdir()


def is_trial_run(config: DictConfig) -> bool:
    """Whether the jobs of a sweep are to leave nothing."""
    return bool(OmegaConf.select(config, "trainer.fast_dev_run"))


def check_seeds(config: DictConfig) -> int:
    """The number of trainings of each combination.

    Raises:
        InputError: it is no whole number from 1 on.
    """
    seeds = config.get("seeds", 1)
    if type(seeds) is not int or seeds < 1:
        raise InputError(f"seeds={seeds}: expected the number of trainings, 1 or more")
    return seeds


def with_seeds(arguments: list[str], config: DictConfig) -> list[str]:
    """Overrides of a sweep in which `seed` has the values that `seeds` asks for.

    They vary slowest, so more seeds add jobs behind those that have run.

    Raises:
        InputError: `seed` or `seeds` has several values.
    """
    overrides = OverridesParser.create().parse_overrides(arguments)
    swept = [one for one in overrides if one.is_sweep_override()]
    several = next((one.input_line for one in swept if one.key_or_group == "seeds"), None)
    if several:
        raise InputError(f"{several}: expected one number of trainings")
    seeds = check_seeds(config)
    if seeds == 1:
        return arguments
    several = next((one.input_line for one in swept if one.key_or_group == "seed"), None)
    if several:
        raise InputError(f"{several}, seeds={seeds}: both give several seeds; pass one of the two")
    values = ",".join(str(config.seed + number) for number in range(seeds))
    others = zip(overrides, arguments, strict=True)
    return [f"seed={values}", *(text for one, text in others if one.key_or_group != "seed")]


def check_direction(direction: str, config: DictConfig) -> None:
    """Raise InputError if a study would look for the worst value of what the jobs return."""
    if "callbacks" not in config:
        return
    key, monitor, mode = best_monitor(config)
    right = {"max": "maximize", "min": "minimize"}[mode]
    if direction != right:
        better = "higher" if mode == "max" else "lower"
        raise InputError(
            f"hydra.sweeper.direction={direction}: of {key}={monitor}, {better} is better; pass "
            f"hydra.sweeper.direction={right}"
        )


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
        if check_seeds(config) > 1:
            raise InputError(
                f"seeds={config.seeds}: not with sweep=optuna; train the best values with seeds="
                f"{config.seeds} when the study has ended"
            )
        one_of("hydra.sweeper.direction", self.direction, ("maximize", "minimize"))
        if is_trial_run(config):
            raise InputError(
                "trainer.fast_dev_run: leaves no scores for sweep=optuna; pass one of the two"
            )
        positive("hydra.sweeper.n_trials", self.n_trials)
        positive("hydra.sweeper.n_jobs", self.n_jobs)
        within("hydra.sweeper.max_failure_rate", self.max_failure_rate, 0, 1)
        self.config = config
        self.hydra_context = hydra_context
        launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        self.launcher = PatientLauncher(launcher, hydra_context, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until the study has enough of them.

        Raises:
            InputError: nothing to search, or the study cannot be used.
        """
        from auralflow_pl.training.sweeps.search_space import parse_search_space
        from auralflow_pl.training.sweeps.study import SharedStudy

        searched = [f"{key}={value}" for key, value in self.params.items()]
        loader = self.hydra_context.config_loader
        space = parse_search_space([*searched, *arguments], loader)
        for job in space.examples():  # before any is in the study
            check_direction(self.direction, loader.load_sweep_config(self.config, job))
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
            returned = self.launcher.launch(jobs, initial_job_idx=batch[0].number)
            failed = 0
            for trial, job in zip(batch, returned, strict=True):
                score = job.return_value if math.isfinite(job.return_value) else None
                study.tell(trial.number, score)
                failed += score is None
            if failed / len(batch) > self.max_failure_rate:
                log.error(
                    "%d of %d trials failed, hydra.sweeper.max_failure_rate=%s: the sweep stops",
                    *(failed, len(batch), self.max_failure_rate),
                )
                break
        self.launcher.finish()


def require_optuna() -> None:
    """Raise InputError unless Optuna 4 or newer is installed."""
    require_extra("sweep", "sweep=optuna")
    version = importlib.metadata.version("optuna")
    if int(version.partition(".")[0]) < 4:
        raise InputError(
            f"sweep=optuna: Optuna {version} is installed, expected 4 or newer; "
            f"{install_line('sweep')}"
        )
