"""Callback that logs speed, waiting time and memory of training."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl

from auralflow_pl.system.memory import peak_memory
from auralflow_pl.training.task import SeparationTask


class Throughput(pl.Callback):
    """Logs speed and memory over the steps since the last record, without validation.

    The metrics are `throughput/steps_per_second`, `throughput/chunks_per_second`,
    `throughput/data_share` (share of the time spent waiting for data), `throughput/memory_gb`
    (peak so far: allocated on the GPU, or resident on the CPU) and
    `throughput/remaining_minutes` until `trainer.max_epochs`, if it is set.

    Args:
        every_n_steps: steps per record; None: as often as the Trainer logs.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        self.every_n_steps = every_n_steps
        self.left: float | None = None  # when the last batch ended
        self.clear()

    def clear(self) -> None:
        """Begin a new record."""
        self.steps, self.chunks = 0, 0
        self.waiting, self.working = 0.0, 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Exclude the time between epochs."""
        self.left = time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        """Exclude the time of validation."""
        self.left = time.perf_counter()

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,  # noqa: ARG002
        pl_module: pl.LightningModule,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Add the time spent waiting for the batch."""
        self.began = time.perf_counter()
        self.waiting += self.began - (self.left or self.began)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        outputs: Any,  # noqa: ARG002
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log a record if it is complete."""
        self.left = time.perf_counter()
        self.working += self.left - self.began
        self.steps += 1
        self.chunks += len(batch["mixture"]) * trainer.world_size
        every = self.every_n_steps or trainer.log_every_n_steps
        if not every or self.steps < every:
            return
        seconds = self.waiting + self.working
        record = {
            "steps_per_second": self.steps / seconds,
            "chunks_per_second": self.chunks / seconds,
            "data_share": self.waiting / seconds,
            "memory_gb": peak_memory(pl_module.device) / 1e9,
        }
        epochs = trainer.max_epochs
        if epochs and epochs > 0:
            done = trainer.current_epoch * trainer.num_training_batches + batch_idx + 1
            left = epochs * trainer.num_training_batches - done
            record["remaining_minutes"] = left * seconds / self.steps / 60
        values = {f"throughput/{name}": float(value) for name, value in record.items()}
        pl_module.record(values, trainer.global_step - 1)
        self.clear()
