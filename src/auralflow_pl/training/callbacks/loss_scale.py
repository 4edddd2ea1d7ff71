"""Callback that logs the loss scale of fp16 training and stops on persistent overflow."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from auralflow_pl.errors import InputError
from auralflow_pl.training.task import SeparationTask


class LossScale(pl.Callback):
    """Logs `precision/loss_scale` and `precision/skipped_steps` in training with a loss scale.

    A step whose gradients overflow is skipped and the scale is halved. A few skipped steps are
    normal while the scale is adjusted. Many in a row mean that the network itself overflows, and
    training stops with an InputError.

    Args:
        max_skipped: largest number of consecutive skipped steps.
    """

    def __init__(self, max_skipped: int = 20) -> None:
        self.max_skipped = max_skipped
        self.skipped = 0
        self.in_a_row = 0
        self.scale: float | None = None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Count a skipped step if the scale has fallen, and log the scale.

        Raises:
            InputError: more than `max_skipped` consecutive steps were skipped.
        """
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is None:
            return
        scale = scaler.get_scale()
        overflowed = self.scale is not None and scale < self.scale
        self.in_a_row = self.in_a_row + 1 if overflowed else 0
        self.skipped += overflowed
        self.scale = scale
        if pl_module.is_logged_step(trainer.global_step):
            values = {"precision/loss_scale": scale, "precision/skipped_steps": self.skipped}
            pl_module.record(values, trainer.global_step - 1)
        if self.in_a_row > self.max_skipped:
            raise InputError(
                f"precision=fp16: {self.in_a_row} steps in a row overflowed, down to a loss scale "
                f"of {scale:g}; use precision=bf16 or fp32, or a lower optimizer.lr"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Store the scale before the first step."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.scale = scaler.get_scale() if scaler is not None else None

    def state_dict(self) -> dict[str, int]:
        """State for checkpoints."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the state of a checkpoint."""
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]
