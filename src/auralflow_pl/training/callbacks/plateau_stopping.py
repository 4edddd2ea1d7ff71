"""Callback that stops training after several plateaus of a validation metric."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytorch_lightning as pl

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError, did_you_mean

log = logging.getLogger(__name__)


class PlateauStopping(pl.Callback):
    """Stops training after several plateaus of a validation metric.

    A plateau is `stop_patience` consecutive validations that are not better by `min_delta`. With
    `scheduler=plateau`, the same rule lowers the learning rate, since the scheduler takes its
    patience from this callback. Training then stops after `max_plateaus` reductions.

    Args:
        stop_patience: consecutive validations without an improvement that form a plateau.
        max_plateaus: number of plateaus after which training stops.
        min_delta: smallest improvement that counts, in the unit of the metric.
        monitor: name of the logged metric.
        mode: `max` if higher is better, `min` if lower is better.

    Raises:
        InputError: `stop_patience` or `max_plateaus` is less than 1, or `mode` is unknown.
    """

    def __init__(
        self,
        stop_patience: int = 5,
        max_plateaus: int = 5,
        min_delta: float = 0.01,
        monitor: str = "val/si_sdr",
        mode: str = "max",
    ) -> None:
        for name, value in (("stop_patience", stop_patience), ("max_plateaus", max_plateaus)):
            if value < 1:
                raise InputError(f"callbacks.plateau_stopping.{name}={value}: expected at least 1")
        self.stop_patience = stop_patience
        self.max_plateaus = max_plateaus
        self.min_delta = min_delta
        one_of("callbacks.plateau_stopping.mode", mode, ("max", "min"))
        self.monitor = monitor
        self.sign = 1.0 if mode == "max" else -1.0
        self.best = -math.inf  # times the sign, so higher is better
        self.waited = 0
        self.plateaus = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Stop a resumed run that had already reached `max_plateaus`."""
        trainer.should_stop = trainer.should_stop or self.plateaus >= self.max_plateaus

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Compare the value with the best one, and count plateaus.

        Raises:
            InputError: `monitor` is not a logged metric.
        """
        if trainer.sanity_checking:
            return
        if self.monitor not in trainer.callback_metrics:
            hint = did_you_mean(self.monitor, trainer.callback_metrics)
            raise InputError(
                f"callbacks.plateau_stopping.monitor={self.monitor}: not logged, {hint}"
            )
        score = self.sign * float(trainer.callback_metrics[self.monitor])
        if score > self.best + self.min_delta:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited == self.stop_patience:
            self.waited = 0
            self.plateaus += 1
            best = self.sign * self.best
            log.info("plateau %d of %d at %.4g", self.plateaus, self.max_plateaus, best)
        if self.plateaus >= self.max_plateaus and not trainer.should_stop:
            log.info("training stops: callbacks.plateau_stopping.max_plateaus is reached")
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """State for checkpoints."""
        return {
            "monitor": self.monitor,
            "best": self.best,
            "waited": self.waited,
            "plateaus": self.plateaus,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint, unless it is that of another metric."""
        if state_dict.get("monitor", self.monitor) != self.monitor:
            return
        self.best, self.waited, self.plateaus = (
            state_dict[key] for key in ("best", "waited", "plateaus")
        )
