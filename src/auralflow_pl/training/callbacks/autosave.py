"""The last checkpoint: after every epoch, every few minutes, and when a signal asks for it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

log = logging.getLogger(__name__)


class Autosave(Checkpoint):
    """Keeps one checkpoint from which the run goes on without a trace of the interruption.

    SIGUSR1 asks for a checkpoint; SIGTERM and SIGINT (Ctrl-C) too, and end the training then; a
    second SIGINT ends it at once. SIGUSR2 is handed on, once there is a checkpoint, to whoever
    listens for it: submitit does, and queues a job again that is preempted or out of time.

    Within an epoch a checkpoint is written after an optimizer step, never between validation and
    the end of the epoch: a signal during validation is answered when the epoch ends.

    Args:
        path: of the checkpoint, replaced at once each time.
        minutes: between checkpoints within an epoch; 0: after every step; None: only at its end.
    """

    def __init__(self, path: str | Path, minutes: float | None = 10.0) -> None:
        super().__init__()
        self.path = Path(path)
        self.minutes = minutes
        self.asked = False
        self.interrupted = False
        self.handed_on = False
        self.before: dict[int, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Listen for signals; Lightning listens for SIGTERM."""
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGUSR1"):
            numbers = [signal.SIGUSR1, signal.SIGINT]
            if callable(signal.getsignal(signal.SIGUSR2)):
                numbers.append(signal.SIGUSR2)
            for number in numbers:
                self.before[number] = signal.signal(number, self.ask)
        self.saved = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Leave the signals to whom they belonged."""
        while self.before:
            signal.signal(*self.before.popitem())

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note that a checkpoint is wanted."""
        self.asked = True
        self.handed_on = self.handed_on or number == signal.SIGUSR2
        if number == signal.SIGINT:
            self.interrupted = True
            signal.signal(signal.SIGINT, self.before.pop(signal.SIGINT))
            log.info("interrupted: a checkpoint is written after this step; again to stop at once")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Write one if it is time, unless the epoch ends or gradients are still collected."""
        batches = batch_idx + 1
        within = batches < trainer.num_training_batches
        stepped = batches % trainer.accumulate_grad_batches == 0
        if within and stepped and self.is_due(trainer):
            self.write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write one."""
        self.write(trainer)

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Whether somebody asked, or the time is over; all devices agree."""
        over = self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes
        due = self.asked or trainer.received_sigterm or over
        return bool(trainer.strategy.reduce_boolean_decision(due, all=False))

    def write(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint, and first what loggers hold back."""
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
