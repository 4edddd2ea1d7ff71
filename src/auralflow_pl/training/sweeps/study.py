"""The study of a sweep: its database, and who runs which trial."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState

from auralflow_pl.config.instantiate import build
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.training.sweeps.search_space import SearchSpace
from auralflow_pl.training.sweeps.study_storage import TrialLocks, open_storage, storage_errors

log = logging.getLogger(__name__)

FOLDER = "folder"  # user attribute of a trial that has the folder of an earlier one


class StudyTrial(NamedTuple):
    """A trial that this process is to run."""

    number: int
    params: dict[str, Any]
    folder: str  # name of its run folder


class SharedStudy:
    """A study on which several processes may work, and go on after they were killed.

    Args:
        folder: of the sweep.
        storage: address of the database, for SQLAlchemy.
        name: of the study in the database.
        direction: `maximize` or `minimize`.
        space: what is searched.
        sampler: node of a sampler of Optuna; a partial one is given the grid.

    Raises:
        InputError: the database cannot be used, or the study was begun otherwise.
    """

    def __init__(
        self,
        folder: Path,
        storage: str,
        name: str,
        direction: str,
        space: SearchSpace,
        sampler: Mapping[str, Any],
    ) -> None:
        self.space = space
        self.node = sampler
        self.partial = bool(sampler.get("_partial_"))
        self.build_sampler(0)
        self.locks = TrialLocks(folder / "locks")
        with self.locks.alone(), storage_errors(storage):
            self.study = optuna.create_study(
                storage=open_storage(storage),
                study_name=name,
                direction=direction,
                load_if_exists=True,
            )
            trials = self.study.get_trials(deepcopy=False)
            check_same_study(storage, self.study, direction, space.distributions)
            self.failed_before = {t.number for t in trials if t.state is TrialState.FAIL}
            self.enqueue_failed(trials)
        ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        if ended:
            log.info("study %s: goes on after %d trials", name, len(ended))

    def build_sampler(self, trials: int) -> optuna.samplers.BaseSampler:
        """The sampler for the next trial, whose draws depend on the seed and its number only."""
        if self.partial:
            return build(self.node)(self.space.grid())
        seed = self.node.get("seed")
        if seed is None:
            return build(self.node)
        if not isinstance(seed, int):
            raise InputError(f"hydra.sweeper.sampler.seed={seed}: expected a whole number or null")
        return build(self.node, seed=seed + trials)

    def enqueue_failed(self, trials: Sequence[FrozenTrial]) -> None:
        """Trials that failed before are tried once more, in their folders."""
        tried_again = {t.user_attrs[FOLDER] for t in trials if FOLDER in t.user_attrs}
        for trial in trials:
            folder = trial.user_attrs.get(FOLDER, str(trial.number))
            if (
                trial.state is TrialState.FAIL
                and folder not in tried_again
                and trial.distributions == self.space.distributions
            ):
                self.study.enqueue_trial(trial.params, {FOLDER: folder})

    def ask(self, n_trials: int) -> StudyTrial | None:
        """The next trial: one that a killed process left, or a new one.

        Args:
            n_trials: that the study is to have in all, without those that failed before.

        Raises:
            InputError: the sampler cannot be used.
        """
        with self.locks.alone():
            trials = self.study.get_trials(deepcopy=False)
            for trial in trials:
                if trial.state is TrialState.RUNNING and self.locks.take(trial.number):
                    if trial.distributions == self.space.distributions:
                        return study_trial(trial)
                    self.enter(trial.number, None)  # its values were not chosen, or are of no use
                    self.failed_before.add(trial.number)
            begun = [
                trial
                for trial in trials
                if trial.state is not TrialState.WAITING and trial.number not in self.failed_before
            ]
            if len(begun) >= n_trials:
                return None
            self.study.sampler = self.build_sampler(len(trials))
            try:
                asked = self.study.ask(self.space.distributions)
            except ImportError as error:
                name = self.node["_target_"].rpartition(".")[2]
                raise InputError(f"hydra/sweeper/sampler: {name}: {one_line(error)}") from error
            self.locks.take(asked.number)
            return study_trial(asked)

    def tell(self, number: int, score: float | None) -> None:
        """Enter the score of a trial of this process; None: it failed."""
        with self.locks.alone():  # or another process could take it for one that was left
            self.enter(number, score)

    def enter(self, number: int, score: float | None) -> None:
        """The same for who has the study alone."""
        state = TrialState.FAIL if score is None else TrialState.COMPLETE
        try:
            self.study.tell(number, score, state)
        except RuntimeError:
            if not self.partial:
                raise  # else the grid is exhausted, which ends nothing here
        self.locks.leave(number)

    def close(self) -> None:
        """Leave all trials."""
        self.locks.close()


def study_trial(trial: Any) -> StudyTrial:
    """What is needed to run it."""
    folder = trial.user_attrs.get(FOLDER, str(trial.number))
    return StudyTrial(trial.number, dict(trial.params), folder)


def check_same_study(
    storage: str, study: optuna.Study, direction: str, space: Mapping[str, BaseDistribution]
) -> None:
    """Raise InputError if a study was begun with another direction or other kinds of values."""
    other = "choose another paths.run_dir or hydra.sweeper.study_name"
    if study.direction.name.lower() != direction:
        raise InputError(
            f"hydra.sweeper.direction={direction}: {storage} has a study that does not "
            f"{direction}; {other}"
        )
    for trial in study.get_trials(deepcopy=False):
        for key in trial.distributions.keys() & space.keys():
            try:
                check_distribution_compatibility(trial.distributions[key], space[key])
            except ValueError:
                raise InputError(
                    f"{key}: {storage} has a study with other values of it "
                    f"({trial.distributions[key]}); {other}"
                ) from None
