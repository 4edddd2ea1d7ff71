"""Learning-rate schedules, in the form that Lightning takes."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau, StepLR

from auralflow_pl.errors import InputError

Schedule = dict[str, Any]


def cosine(
    optimizer: Optimizer, total_steps: int, warmup: float = 0.05, floor: float = 0.01
) -> Schedule:
    """Linear warm-up, then half a cosine down to `floor`, counted in steps.

    Args:
        optimizer: whose rates are scaled.
        total_steps: of the whole training.
        warmup: share of the steps in which the rate rises.
        floor: share of the rate that is left at the end.

    Raises:
        InputError: the training has no end, or `warmup` is not a share of it.
    """
    if not 0 <= warmup < 1:
        raise InputError(f"scheduler.warmup={warmup}: expected at least 0 and less than 1")
    if total_steps < 1:
        raise InputError("scheduler=cosine needs an end: set trainer.max_epochs to a number")

    def factor(step: int) -> float:
        """Share of the full rate at a step."""
        return cosine_factor((step + 1) / total_steps, warmup, floor)

    return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}


def cosine_factor(progress: float, warmup: float, floor: float) -> float:
    """Share of the full rate when `progress` of the training, from 0 to 1, is over."""
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
    """Scale the rate by `factor` after every `every_n_epochs`.

    Args:
        optimizer: whose rates are scaled.
        total_steps: not needed here.
        every_n_epochs: of the same rate.
        factor: of each reduction.

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
) -> Schedule:
    """Scale the rate by `factor` when `monitor` (higher is better) has not risen.

    Args:
        optimizer: whose rates are scaled.
        total_steps: not needed here.
        monitor: a logged metric.
        factor: of each reduction.
        patience: validations in a row without a rise of `min_delta`, after which it is scaled.
        min_delta: the least rise that counts, in the unit of the metric.

    Raises:
        InputError: `patience` is less than 1.
    """
    if patience < 1:
        raise InputError(f"scheduler.patience={patience}: expected at least 1")
    reduce = ReduceLROnPlateau(
        optimizer, "max", factor, patience - 1, min_delta, threshold_mode="abs"
    )
    return {"scheduler": reduce, "interval": "epoch", "monitor": monitor}
