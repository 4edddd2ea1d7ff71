"""Learning-rate schedules as configuration dicts for Lightning."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau, StepLR

from auralflow_pl.checks.values import one_of
from auralflow_pl.errors import InputError

Schedule = dict[str, Any]


def cosine(
    optimizer: Optimizer, total_steps: int, warmup: float = 0.05, floor: float = 0.01
) -> Schedule:
    """Linear warm-up, then half a cosine down to `floor`, updated every step.

    Args:
        optimizer: optimizer whose learning rates are scaled.
        total_steps: optimizer steps of the whole training.
        warmup: share of the steps with a rising learning rate, at least 0 and less than 1.
        floor: learning rate at the end, relative to the full rate.

    Raises:
        InputError: the number of steps is not known, or `warmup` is out of range.
    """
    if not 0 <= warmup < 1:
        raise InputError(f"scheduler.warmup={warmup}: expected at least 0 and less than 1")
    if total_steps < 1:
        raise InputError("scheduler=cosine needs an end: set trainer.max_epochs to a number")

    def factor(step: int) -> float:
        """Learning rate at a step, relative to the full rate."""
        return cosine_factor((step + 1) / total_steps, warmup, floor)

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}


def cosine_factor(progress: float, warmup: float, floor: float) -> float:
    """Learning rate relative to the full rate; `progress` is the finished share, from 0 to 1."""
    if progress < warmup:
        return progress / warmup
    falling = min(1.0, (progress - warmup) / (1 - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * falling))


def step(
    optimizer: Optimizer,
    total_steps: int,  # noqa: ARG001 - schedules share one signature
    every_n_epochs: int = 20,
    factor: float = 0.5,
) -> Schedule:
    """Multiply the learning rate by `factor` after every `every_n_epochs` epochs.

    Args:
        optimizer: optimizer whose learning rates are scaled.
        total_steps: not used.
        every_n_epochs: epochs between reductions.
        factor: factor of each reduction.

    Raises:
        InputError: `every_n_epochs` is less than 1.
    """
    if every_n_epochs < 1:
        raise InputError(f"scheduler.every_n_epochs={every_n_epochs}: expected at least 1")
    return {"scheduler": StepLR(optimizer, every_n_epochs, factor), "interval": "epoch"}


def plateau(
    optimizer: Optimizer,
    total_steps: int,  # noqa: ARG001
    monitor: str = "val/si_sdr",
    factor: float = 0.3,
    patience: int = 5,
    min_delta: float = 0.01,
    mode: str = "max",
) -> Schedule:
    """Multiply the learning rate by `factor` when a validation metric no longer gets better.

    Args:
        optimizer: optimizer whose learning rates are scaled.
        total_steps: not used.
        monitor: name of a logged metric.
        factor: factor of each reduction.
        patience: consecutive validations that are not better by `min_delta` before a reduction.
        min_delta: smallest improvement that counts, in the unit of the metric.
        mode: `max` if higher is better, `min` if lower is better.

    Raises:
        InputError: `patience` is less than 1, or `mode` is unknown.
    """
    one_of("scheduler.mode", mode, ("max", "min"))
    if patience < 1:
        raise InputError(f"scheduler.patience={patience}: expected at least 1")
    reduce = ReduceLROnPlateau(
        optimizer, mode, factor, patience - 1, min_delta, threshold_mode="abs"
    )
    return {"scheduler": reduce, "interval": "epoch", "monitor": monitor}
