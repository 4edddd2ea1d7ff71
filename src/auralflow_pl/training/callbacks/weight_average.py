"""Callback that averages the weights over the steps, for validation and later use."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from auralflow_pl.errors import InputError


class WeightAverage(WeightAveraging):
    """Exponential moving average of all weights and normalisation statistics.

    Validation uses the average. Checkpoints store it as the weights, so evaluation and separation
    use it too; they also store the raw weights, with which a resumed run continues. The average
    is short at first: after n steps the decay is at most (1 + n) / (10 + n).

    Args:
        decay: decay of the average per step, at least 0 and less than 1.

    Raises:
        InputError: `decay` is out of range.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(
                f"callbacks.weight_average.decay={decay}: expected at least 0, less than 1"
            )
        self.decay = decay
        self.exchanged = False  # in validation: the module holds the average
        super().__init__(multi_avg_fn=self.average)

    def average(self, averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        """Update averages of one dtype in place; integer counters are copied.

        Args:
            averages: averaged tensors.
            values: current tensors.
            count: number of steps before.
        """
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, values)
            return
        steps = int(count)
        decay = min(self.decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(averages, values, 1 - decay)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Exchange the weights of the module and the average."""
        super().on_validation_epoch_start(trainer, pl_module)
        self.exchanged = True

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Exchange the weights of the module and the average again."""
        super().on_validation_epoch_end(trainer, pl_module)
        self.exchanged = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the average as the weights, and the raw weights beside it, also in validation."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self.exchanged and "current_model_state" in checkpoint:
            average, raw = checkpoint["current_model_state"], checkpoint["state_dict"]
            checkpoint.update(state_dict=average, current_model_state=raw)
