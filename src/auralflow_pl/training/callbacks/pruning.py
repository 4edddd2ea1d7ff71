"""Stops a trial of an Optuna study that is worse than the others were."""

from __future__ import annotations

import logging

import optuna
import pytorch_lightning as pl

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError
from auralflow_pl.training.sweeps.study_storage import open_storage

log = logging.getLogger(__name__)


class Pruning(pl.Callback):
    """Reports the score of every validation to the study, and stops below the median.

    The sweeper enters the best score so far as the result of a trial that is stopped; the trial is
    marked with `pruned`.

    Args:
        storage: of the study, an address for SQLAlchemy.
        study_name: its name in the storage.
        trial: its number in the study; the sweeper sets it.
        startup_trials: that end before any is stopped.
        warmup_epochs: of each trial, in which it is not stopped.
        monitor: the score, a logged metric.
        mode: `max` if higher is better, `min` if lower is better.
    """

    def __init__(
        self,
        storage: str,
        study_name: str,
        trial: int | None,
        startup_trials: int = 5,
        warmup_epochs: int = 2,
        monitor: str = "val/si_sdr",
        mode: str = "max",
    ) -> None:
        self.storage = storage
        self.study_name = study_name
        self.number = trial
        self.pruner = optuna.pruners.MedianPruner(startup_trials, warmup_epochs)
        self.monitor = monitor
        self.direction = "maximize" if one_of("mode", mode, ("max", "min")) == "max" else "minimize"

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Find the trial; of several processes the first does.

        Raises:
            InputError: it is not in the study.
        """
        if not trainer.is_global_zero:
            return
        study = optuna.load_study(
            study_name=self.study_name, storage=open_storage(self.storage), pruner=self.pruner
        )
        running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        mine = [trial for trial in running if trial.number == self.number]
        if not mine:
            raise InputError(
                f"{self.storage}: trial {self.number} does not run; start it with "
                "train.py -m sweep=optuna"
            )
        self.trial = optuna.trial.Trial(study, mine[0]._trial_id)
        self.reported = set(mine[0].intermediate_values)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Report the score; stop if the study says so."""
        if trainer.sanity_checking:
            return
        prune = trainer.is_global_zero and self.falls_behind(trainer)
        if trainer.strategy.reduce_boolean_decision(prune, all=False):
            trainer.should_stop = True

    def falls_behind(self, trainer: pl.Trainer) -> bool:
        """Report the score of an epoch, once; whether it is below the median."""
        epoch = trainer.current_epoch
        if epoch in self.reported:
            return False
        sign = 1 if self.trial.study.direction.name.lower() == self.direction else -1
        self.trial.report(sign * float(trainer.callback_metrics[self.monitor]), epoch)
        if not self.trial.should_prune():
            return False
        log.info("trial %d: stopped after epoch %d, below the median", self.number, epoch)
        self.trial.set_user_attr("pruned", True)
        return True
