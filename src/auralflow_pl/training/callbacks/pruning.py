"""Stops a trial of an Optuna study that is worse than the others were."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import optuna
import pytorch_lightning as pl

from auralflow_pl.errors import InputError

log = logging.getLogger(__name__)


class Pruning(pl.Callback):
    """Reports the score of every validation to the study, and stops below the median.

    Hydra gives no trial to a job, so it is found in the study: the newest one that runs with the
    same values. The sweeper enters the best score so far as its result, and the trial is marked
    with `pruned`.

    Args:
        storage: of the study, an address for SQLAlchemy.
        study_name: its name in the storage.
        overrides: of the job, `key=value` each.
        startup_trials: that end before any is stopped.
        warmup_epochs: of each trial, in which it is not stopped.
        monitor: the score, a logged metric; higher is better.
    """

    def __init__(
        self,
        storage: str,
        study_name: str,
        overrides: Sequence[str],
        startup_trials: int = 5,
        warmup_epochs: int = 2,
        monitor: str = "val/si_sdr",
    ) -> None:
        self.storage = storage
        self.study_name = study_name
        self.values = dict(override.split("=", 1) for override in overrides if "=" in override)
        self.pruner = optuna.pruners.MedianPruner(startup_trials, warmup_epochs)
        self.monitor = monitor

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Find the trial.

        Raises:
            InputError: it is not in the study.
        """
        study = optuna.load_study(
            study_name=self.study_name, storage=self.storage, pruner=self.pruner
        )
        running = (optuna.trial.TrialState.RUNNING,)
        mine = [trial for trial in study.get_trials(states=running) if self.fits(trial)]
        if not mine:
            raise InputError(
                f"{self.storage}: no running trial with the values of this job; start it with "
                "train.py -m sweep=optuna"
            )
        self.trial = optuna.trial.Trial(study, mine[-1]._trial_id)
        self.reported = set(mine[-1].intermediate_values)

    def fits(self, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether a trial has the values of this job."""
        return all(self.values.get(key) == str(value) for key, value in trial.params.items())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Report the score; stop if the study says so."""
        epoch = trainer.current_epoch
        if trainer.sanity_checking or epoch in self.reported:
            return
        score = float(trainer.callback_metrics[self.monitor])
        if trainer.is_global_zero:
            self.trial.report(score, epoch)
        prune = trainer.is_global_zero and self.trial.should_prune()
        if trainer.strategy.reduce_boolean_decision(prune, all=False):
            log.info("trial %d: stopped after epoch %d, below the median", self.trial.number, epoch)
            self.trial.set_user_attr("pruned", True)
            trainer.should_stop = True
