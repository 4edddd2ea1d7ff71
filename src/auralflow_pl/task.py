"""The LightningModule: wires Separator, loss, optimizer and schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from auralflow_pl.checkpoint import FORMAT, KEY
from auralflow_pl.data.tracks import sum_stems
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.metrics.si_sdr import is_silent, si_sdr
from auralflow_pl.schedules import Schedule
from auralflow_pl.separation import Separator

Batch = dict[str, Any]


class SeparationTask(pl.LightningModule):
    """Trains the network of a Separator on chunks and validates the Separator on whole tracks.

    Logs `train/loss`, the weighted sum of all losses and penalties, each of them under its own name
    (`train/l1`, `train/kl`), and at validation `val/si_sdr` and
    `val/si_sdr_gain` in dB (means over tracks and targets that are not silent; with several targets
    also `val/si_sdr/<target>`).

    Args:
        separator: what is trained.
        losses: by name; each maps a `Separation` to a scalar.
        stems: of the batches, in their order.
        optimizer: makes the optimizer from parameters.
        schedule: makes the schedule from optimizer and number of steps; None for a constant rate.
        config: plain and resolved; kept in every checkpoint, so that `ckpt=` is enough later.
        channels_last: memory format of the network's maps.
        loss_weights: of the losses, by name; 1 where nothing is said.

    Raises:
        InputError: a weight for a loss that there is not.
    """

    def __init__(
        self,
        separator: Separator,
        losses: Mapping[str, nn.Module],
        stems: Sequence[str],
        optimizer: Callable[[Iterator[nn.Parameter]], Optimizer],
        schedule: Callable[[Optimizer, int], Schedule] | None = None,
        config: Mapping[str, Any] | None = None,
        channels_last: bool = False,
        loss_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        for name in loss_weights or {}:
            if name not in losses:
                raise InputError(f"loss_weights.{name}: no such loss, {did_you_mean(name, losses)}")
        self.separator = separator
        self.losses = nn.ModuleDict(losses)
        self.loss_weights = dict.fromkeys(losses, 1.0) | dict(loss_weights or {})
        self.stems = tuple(stems)
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.config = dict(config or {})
        if channels_last:
            separator.network.to(memory_format=torch.channels_last)
        names = ("si_sdr", "si_sdr_gain", *(f"si_sdr/{name}" for name in separator.targets))
        self.scores = nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in names})

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Make what a step draws (dropout) a pure function of its place, as its chunks are."""
        place = (self.config.get("seed", 0), self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def training_step(self, batch: Batch) -> Tensor:
        """Loss and penalties of a batch of chunks."""
        target = sum_stems(batch["stems"], self.stems, self.separator.sums)
        separation = self.separator.separate_chunk(batch["mixture"], target)
        terms = {name: loss(separation) for name, loss in self.losses.items()}
        total = sum(self.loss_weights[name] * term for name, term in terms.items())
        total = total + sum(separation.penalties.values())
        parts = terms | dict(separation.penalties)
        logged = {f"train/{name}": part.detach() for name, part in parts.items()}
        when = {"on_step": True, "on_epoch": True, "batch_size": len(batch["mixture"])}
        self.log_dict(logged, **when)
        self.log("train/loss", total.detach(), prog_bar=True, **when)
        rate = self.optimizers().param_groups[0]["lr"]
        self.log("train/learning_rate", rate, on_step=True, on_epoch=False)
        return total

    def validation_step(self, batch: Batch) -> None:
        """Separate a whole track and collect the scores of its targets."""
        mixture = batch["mixture"]
        target = sum_stems(batch["stems"], self.stems, self.separator.sums)
        estimate = self.separator(mixture, int(batch["sample_rate"])).flatten(-2)
        target = target.flatten(-2)
        scores = si_sdr(estimate, target)
        gains = scores - si_sdr(mixture.flatten().expand_as(target), target)
        silent = is_silent(target)
        for name, score, gain, skip in zip(
            self.separator.targets, scores, gains, silent, strict=True
        ):
            if not skip:
                self.scores["si_sdr"].update(score)
                self.scores["si_sdr_gain"].update(gain)
                self.scores[f"si_sdr/{name}"].update(score)

    def on_validation_epoch_end(self) -> None:
        """Log the means.

        Raises:
            InputError: the targets are silent in every validation track, or a score is not finite.
        """
        if not self.scores["si_sdr"].update_called:
            raise InputError(
                f"target={list(self.separator.targets)}: silent in every validation track; "
                "choose another target or other tracks"
            )
        score = self.scores["si_sdr"].compute()
        if not torch.isfinite(score):
            raise InputError("val/si_sdr is not finite: training diverged; lower optimizer.lr")
        several = len(self.separator.targets) > 1
        for name, metric in self.scores.items():
            if metric.update_called and (several or "/" not in name):
                self.log(f"val/{name}", metric.compute(), prog_bar=name == "si_sdr")
            metric.reset()

    def configure_optimizers(self) -> Optimizer | dict[str, Any]:
        """Optimizer and schedule for Lightning."""
        optimizer = self.make_optimizer(self.parameters())
        if self.make_schedule is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        schedule = self.make_schedule(optimizer, int(steps) if math.isfinite(steps) else 0)
        if "monitor" in schedule:
            schedule["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the configuration: plain values, so `weights_only=True` can load it."""
        checkpoint[KEY] = {"format": FORMAT, "config": self.config}
