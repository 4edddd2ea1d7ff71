"""Callback that writes the last checkpoint: after epochs, every few minutes, and on signals."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from auralflow_pl.system.signals import handling

log = logging.getLogger(__name__)


class Autosave(Checkpoint):
    """Keeps one checkpoint file, replaced after every epoch, every few minutes and on a signal.

    A resumed run gives results identical to those of an uninterrupted run.

    SIGUSR1 requests a checkpoint. SIGTERM and SIGINT (Ctrl-C) request a checkpoint and then end
    the training; a second SIGINT ends it at once. SIGUSR2 requests a checkpoint and is then
    passed to the previous handler, such as that of submitit, which requeues a job that is
    preempted or out of time.

    Within an epoch, checkpoints are written after an optimizer step that no validation follows.
    After a signal during validation, the checkpoint is written before the next track, and a resumed
    run repeats the validation from its first track. Two validations are finished first, as a
    resumed run would not repeat them: one amid gradient accumulation, and the last one of a
    training that ends within an epoch (`max_steps`, `max_time`).

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
        self.ending: int | None = None  # signal that ends the training
        self.handed_on = False
        self.handlers = contextlib.ExitStack()  # until the end of the training
        self.before: dict[int, Any] = {}  # former handlers

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Install signal handlers for a training."""
        if stage != "fit":
            return
        names = ["SIGUSR1", "SIGINT", "SIGTERM"]
        if hasattr(signal, "SIGUSR2") and callable(signal.getsignal(signal.SIGUSR2)):
            names.append("SIGUSR2")
        self.before = self.handlers.enter_context(handling(self.ask, *names))
        self.saved = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Replace Lightning's handler of SIGTERM, which ends a training where no step is saved."""
        if signal.SIGTERM in self.before:
            signal.signal(signal.SIGTERM, self.ask)

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
        if number in (signal.SIGINT, signal.SIGTERM):
            self.ending = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, self.before[signal.SIGINT])
            log.info(
                "interrupted: a checkpoint is written after this step, or this track of a "
                "validation; again to stop at once"
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Write a due checkpoint, except before a validation and amid gradient accumulation."""
        last = batch_idx + 1 == trainer.num_training_batches
        if last or is_accumulating(trainer) or is_validated_next(trainer):
            return
        if self.is_due(trainer):
            self.write(trainer)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Write a requested checkpoint from which a resumed run repeats the validation."""
        if not trainer.validating or trainer.should_stop or is_accumulating(trainer):
            return
        if self.on_any_device(trainer, self.asked):
            with validation_begun(trainer):
                self.write(trainer)
            self.saved = -math.inf  # the next one is due at once: loggers get the scores before it

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write a checkpoint."""
        self.write(trainer)

    def is_due(self, trainer: pl.Trainer) -> bool:
        """Return True if a checkpoint is requested or its time has come, on any device."""
        over = self.minutes is not None and time.monotonic() - self.saved >= 60 * self.minutes
        return self.on_any_device(trainer, self.asked or over)

    def on_any_device(self, trainer: pl.Trainer, decision: bool) -> bool:
        """Return True if a decision is true on any device."""
        return bool(trainer.strategy.reduce_boolean_decision(decision, all=False))

    def write(self, trainer: pl.Trainer) -> None:
        """Flush the loggers, write the checkpoint, and act on the signals received.

        Raises:
            SystemExit: SIGINT or SIGTERM was received on any device.
        """
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path)
        if self.asked:
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
        if self.on_any_device(trainer, self.ending == signal.SIGINT):
            raise SystemExit(128 + signal.SIGINT)  # Lightning would end with 1
        if self.on_any_device(trainer, self.ending == signal.SIGTERM):
            raise SIGTERMException(128 + signal.SIGTERM)


def is_accumulating(trainer: pl.Trainer) -> bool:
    """Whether the last training batch did not end with an optimizer step."""
    batches = trainer.fit_loop.batch_idx + 1
    return batches % trainer.accumulate_grad_batches > 0 and not trainer.is_last_batch


def is_validated_next(trainer: pl.Trainer) -> bool:
    """Whether a validation follows this training batch, which a resumed run would skip."""
    loop = trainer.fit_loop
    is_last_step = trainer.global_step == trainer.max_steps  # validated by the task
    return is_last_step or bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))


@contextlib.contextmanager
def validation_begun(trainer: pl.Trainer) -> Iterator[None]:
    """Set the progress of a validation to its first track within the block.

    Lightning repeats the whole validation when it resumes from a checkpoint with this progress.
    """
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    before = progress.state_dict()
    progress.reset()
    progress.increment_ready()
    progress.increment_started()
    try:
        yield
    finally:
        progress.load_state_dict(before)
