"""Stop when the score has stood still several times."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytorch_lightning as pl

from auralflow_pl.errors import InputError, did_you_mean

log = logging.getLogger(__name__)


class PlateauStopping(pl.Callback):
    """Counts plateaus: `stop_patience` validations in a row without a rise of `min_delta`.

    The same rule lowers the learning rate with `scheduler=plateau`, which takes its patience from
    here; so training ends when lowering it `max_plateaus` times did not help.

    Args:
        stop_patience: validations of a plateau.
        max_plateaus: after which training stops.
        min_delta: the least rise of the score that counts, in its unit.
        monitor: the score, a logged metric; higher is better.

    Raises:
        InputError: a number less than 1; `monitor` is not logged, when training runs.
    """

    def __init__(
        self,
        stop_patience: int = 5,
        max_plateaus: int = 5,
        min_delta: float = 0.01,
        monitor: str = "val/si_sdr",
    ) -> None:
        for name, value in (("stop_patience", stop_patience), ("max_plateaus", max_plateaus)):
            if value < 1:
                raise InputError(f"callbacks.plateau_stopping.{name}={value}: expected at least 1")
        self.stop_patience = stop_patience
        self.max_plateaus = max_plateaus
        self.min_delta = min_delta
        self.monitor = monitor
        self.best = -math.inf
        self.waited = 0
        self.plateaus = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """A run that was over when it was interrupted stays so."""
        trainer.should_stop = trainer.should_stop or self.plateaus >= self.max_plateaus

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Look at the score."""
        if trainer.sanity_checking:
            return
        if self.monitor not in trainer.callback_metrics:
            hint = did_you_mean(self.monitor, trainer.callback_metrics)
            raise InputError(
                f"callbacks.plateau_stopping.monitor={self.monitor}: not logged, {hint}"
            )
        score = float(trainer.callback_metrics[self.monitor])
        if score > self.best + self.min_delta:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited == self.stop_patience:
            self.waited = 0
            self.plateaus += 1
            log.info("plateau %d of %d at %.2f", self.plateaus, self.max_plateaus, self.best)
        if self.plateaus >= self.max_plateaus:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        return {"best": self.best, "waited": self.waited, "plateaus": self.plateaus}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""
        self.best, self.waited, self.plateaus = (
            state_dict[key] for key in ("best", "waited", "plateaus")
        )
