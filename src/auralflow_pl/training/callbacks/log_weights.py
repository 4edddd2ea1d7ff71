"""Weights and gradients of every layer, as histograms or norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from auralflow_pl.errors import InputError
from auralflow_pl.training.task import SeparationTask


class LogWeights(pl.Callback):
    """Logs the parameters of the network, tensor by tensor.

    Args:
        weights: log `weights/<name>`.
        gradients: log `gradients/<name>`, before they are clipped.
        norm: the 2-norm of each; else its histogram, where the logger has histograms.
        every_n_steps: between records; None: one for each epoch, at its last step.

    Raises:
        InputError: `every_n_steps` is less than 1.
    """

    def __init__(
        self,
        weights: bool = True,
        gradients: bool = True,
        norm: bool = True,
        every_n_steps: int | None = None,
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise InputError(
                f"callbacks.log_weights.every_n_steps={every_n_steps}: expected at least 1, or null"
            )
        self.weights = weights
        self.gradients = gradients
        self.norm = norm
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        optimizer: Optimizer,  # noqa: ARG002
    ) -> None:
        """Log weights before the step, and the gradients that it is made of."""
        if self.every_n_steps is None:
            due = bool(trainer.is_last_batch)
        else:
            due = trainer.global_step % self.every_n_steps == 0
        if not due:
            return
        network = dict(pl_module.separator.network.named_parameters())
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
        """Log one set of tensors."""
        step = trainer.global_step
        if self.norm:
            norms = torch._foreach_norm([value.detach() for value in values.values()])
            named: dict[str, Any] = {
                f"{kind}/{name}": float(norm) for name, norm in zip(values, norms, strict=True)
            }
            pl_module.record(named, step)
            return
        for logger in trainer.loggers:
            if hasattr(logger, "log_histogram"):
                for name, value in values.items():
                    array = value.detach().float().cpu().numpy()
                    logger.log_histogram(f"{kind}/{name}", array, step)
