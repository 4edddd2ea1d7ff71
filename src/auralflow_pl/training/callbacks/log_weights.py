"""Callback that logs weights and gradients of every layer, as norms or histograms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from auralflow_pl.errors import InputError
from auralflow_pl.models.low_rank import user_name
from auralflow_pl.training.task import SeparationTask


class LogWeights(pl.Callback):
    """Logs weights and gradients of the network for each parameter tensor.

    Args:
        weights: log `weights/<name>`.
        gradients: log `gradients/<name>`, before clipping.
        norm: log 2-norms.
        histogram: log histograms, with loggers that support them; None: if `norm` is false.
        every_n_steps: optimizer steps between records; None: once per epoch, at its last step.

    Raises:
        InputError: `every_n_steps` is less than 1.
    """

    def __init__(
        self,
        weights: bool = True,
        gradients: bool = True,
        norm: bool = True,
        every_n_steps: int | None = None,
        histogram: bool | None = None,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise InputError(
                f"callbacks.log_weights.every_n_steps={every_n_steps}: expected at least 1, or null"
            )
        self.weights = weights
        self.gradients = gradients
        self.norm = norm
        self.histogram = not norm if histogram is None else histogram
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        optimizer: Optimizer,  # noqa: ARG002
    ) -> None:
        """Log weights and gradients before the step."""
        if self.every_n_steps is None:
            due = bool(trainer.is_last_batch)
        else:
            due = trainer.global_step % self.every_n_steps == 0
        if not due:
            return
        named = pl_module.separator.network.named_parameters()
        network = {user_name(name): weight for name, weight in named}
        if self.weights:
            self.send(trainer, pl_module, "weights", network)
        if self.gradients:
            with_gradient = {n: p.grad for n, p in network.items() if p.grad is not None}
            self.send(trainer, pl_module, "gradients", with_gradient)

    def send(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        kind: str,
        values: Mapping[str, Tensor],
    ) -> None:
        """Log the tensors `values` under `<kind>/<name>`."""
        step = trainer.global_step
        if self.norm:
            norms = torch._foreach_norm([value.detach() for value in values.values()])
            named: dict[str, Any] = {
                f"{kind}/{name}": float(norm) for name, norm in zip(values, norms, strict=True)
            }
            pl_module.record(named, step)
        for logger in trainer.loggers:
            if self.histogram and hasattr(logger, "log_histogram"):
                for name, value in values.items():
                    array = value.detach().float().cpu().numpy()
                    logger.log_histogram(f"{kind}/{name}", array, step)
