"""The progress of a training in a log."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar

from auralflow_pl.system.progress import Progress


class LogProgress(TQDMProgressBar):
    """Writes a line on the epoch now and then, for a standard output that is not a terminal.

    Lightning's own bars fill a log with control characters.
    """

    def init_train_tqdm(self) -> Progress:
        """The progress of an epoch."""
        return Progress(desc=self.train_description, disable=self.is_disabled, file=sys.stdout)

    def init_validation_tqdm(self) -> Progress:
        """The progress of a validation."""
        return Progress(desc=self.validation_description, disable=self.is_disabled, file=sys.stdout)

    init_sanity_tqdm = init_test_tqdm = init_validation_tqdm

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Name an epoch that was resumed within, whose start Lightning tells nobody."""
        if not self.train_progress_bar.total:
            self.on_train_epoch_start(trainer)
