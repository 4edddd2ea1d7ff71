"""Callback that writes the last checkpoint: after epochs, every few minutes, and on signals."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from auralflow_pl.system.signals import handling

log = logging.getLogger(__name__)


class Autosave(Checkpoint):
    """Keeps one checkpoint file, replaced after every epoch, every few minutes and on a signal.

    A resumed run gives results identical to those of an uninterrupted run.

    SIGUSR1 requests a checkpoint. SIGTERM and SIGINT (Ctrl-C) request a checkpoint and then end
    the training; a second SIGINT ends it at once. SIGUSR2 requests a checkpoint and is then
    passed to the previous handler, such as that of submitit, which requeues a job that is
    preempted or out of time.

    Within an epoch, checkpoints are written after an optimizer step, never between validation and
    the end of the epoch. After a signal during validation, the checkpoint is written at the end
    of the epoch.

    Args:
        path: path of the checkpoint, replaced atomically.
        minutes: minutes between checkpoints within an epoch; 0: after every step; None: only at
            the end of the epoch.
    """

    def __init__(self, path: str | Path, minutes: float | None = 10.0) -> None:
        super().__init__()
        self.path = Path(path)
        self.minutes = minutes
        self.asked = False
        self.interrupted = False
        self.handed_on = False
        self.handlers = contextlib.ExitStack()  # until the end of the training
        self.before: dict[int, Any] = {}  # former handlers

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Install signal handlers; Lightning handles SIGTERM."""
        names = ["SIGUSR1", "SIGINT"]
        if hasattr(signal, "SIGUSR2") and callable(signal.getsignal(signal.SIGUSR2)):
            names.append("SIGUSR2")
        self.before = self.handlers.enter_context(handling(self.ask, *names))
        self.saved = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Restore the previous signal handlers."""
        self.handlers.close()

    def on_exception(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Restore the previous signal handlers, as Lightning then calls no `teardown`."""
        self.handlers.close()

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle a signal: request a checkpoint, and restore the handler of SIGINT."""
        self.asked = True
        self.handed_on = self.handed_on or number == signal.SIGUSR2
        if number == signal.SIGINT:
            self.interrupted = True
            signal.signal(signal.SIGINT, self.before[signal.SIGINT])
            log.info("interrupted: a checkpoint is written after this step; again to stop at once")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Write a due checkpoint, except at the end of an epoch and amid gradient accumulation."""
        batches = batch_idx + 1
        within = batches < trainer.num_training_batches
        stepped = batches % trainer.accumulate_grad_batches == 0
        if within and stepped and self.is_due(trainer):
            self.write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write a checkpoint."""
        self.write(trainer)

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Return True if a checkpoint is requested or its time has come, on any device."""
        over = self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes
        due = self.asked or trainer.received_sigterm or over
        return bool(trainer.strategy.reduce_boolean_decision(due, all=False))

    def write(self, trainer: pl.Trainer) -> None:
        """Flush the loggers, write the checkpoint, and act on the signals received.

        Raises:
            SystemExit: SIGINT was received.
        """
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path)
        if self.asked or trainer.received_sigterm:
            log.info(
                "%s: written at step %d; resume=auto goes on from it",
                self.path,
                trainer.global_step,
            )
        self.asked = False
        self.saved = time.monotonic()
        if self.handed_on:
            self.handed_on = False
            self.before[signal.SIGUSR2](signal.SIGUSR2, None)
        if self.interrupted:
            raise SystemExit(128 + signal.SIGINT)  # Lightning would end with 1
