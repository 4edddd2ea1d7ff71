"""The LightningModule: wires Separator, loss, optimizer and schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from auralflow_pl.checkpoints.trained import CHECKPOINT_FORMAT, CHECKPOINT_KEY
from auralflow_pl.data.targets import sum_stems
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.metrics.base import TargetMetric
from auralflow_pl.metrics.si_sdr import is_silent, si_sdr
from auralflow_pl.separator.separator import Separator
from auralflow_pl.training.schedules import Schedule

TrainingBatch = dict[str, Any]


class SeparationTask(pl.LightningModule):
    """Trains the network of a Separator on chunks and validates the Separator on whole tracks.

    Logs `train/loss_step` and `train/loss_epoch`, the weighted sum of all losses and penalties,
    each of them under its own name (`train/l1_step`, `train/kl_step`), and at validation
    `val/si_sdr` and `val/si_sdr_gain` in dB (means over tracks and targets that are not silent;
    with several targets also `val/si_sdr/<target>`).

    Schedules that are counted in epochs are stepped here, at the end of an epoch and before
    checkpoints are written: Lightning does so afterwards, and forgets it when a run is resumed.

    Args:
        separator: what is trained.
        losses: by name; each maps a `Separation` to a scalar.
        stems: of the batches, in their order.
        optimizer: makes the optimizer from a module.
        schedule: makes the schedule from optimizer and number of steps; None for a constant rate.
        config: plain and resolved; kept in every checkpoint, so that `ckpt=` is enough later.
        channels_last: memory format of the network's maps.
        loss_weights: of the losses, by name; 1 where nothing is said.
        metrics: by name, computed at validation beside SI-SDR and logged as `val/<name>`, the mean
            over tracks and targets in which it is defined.

    Raises:
        InputError: a weight for a loss that there is not.
    """

    def __init__(
        self,
        separator: Separator,
        losses: Mapping[str, nn.Module],
        stems: Sequence[str],
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Callable[[Optimizer, int], Schedule] | None = None,
        config: Mapping[str, Any] | None = None,
        channels_last: bool = False,
        loss_weights: Mapping[str, float] | None = None,
        metrics: Mapping[str, TargetMetric] | None = None,
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
        others = {name: m for name, m in (metrics or {}).items() if name != "si_sdr"}
        self.metrics = nn.ModuleDict(others)
        self.sums: dict[str, Tensor] = {}  # of the epoch, by logged name, weighted by chunks
        self.epoch_schedule: Schedule | None = None
        self.schedule_state: dict[str, Any] | None = None
        self.validated = False  # in this epoch

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **arguments: Any) -> Any:
        """Lightning's way back from a checkpoint; needs all arguments of the task.

        Raises:
            InputError: they are not given: checkpoints hold weights and configuration, no objects.
        """
        if "separator" not in arguments:
            raise InputError(
                f"SeparationTask.load_from_checkpoint({str(checkpoint_path)!r}): use "
                f"auralflow_pl.load({str(checkpoint_path)!r}) for the Separator, or "
                "`auralflow train resume=...` to go on with the training"
            )
        return super().load_from_checkpoint(checkpoint_path, *args, **arguments)

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the epoch before."""
        self.sums = {}

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Make what a step draws (dropout) a pure function of its place, as its chunks are."""
        torch.manual_seed(step_seed(self.place(batch_idx)))

    def place(self, batch_idx: int) -> tuple[int, ...]:
        """Seed, epoch, step and device: what random numbers of a step are a function of."""
        return (self.config.get("seed", 0), self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Loss of a batch of chunks; logs it and its parts."""
        parts = self.loss_parts(batch)
        chunks = len(batch["mixture"])
        for name, part in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + chunks * part.detach()
        self.sums["chunks"] = self.sums.get("chunks", 0.0) + torch.tensor(float(chunks))
        values = {f"train/{name}_step": part.detach() for name, part in parts.items()}
        self.log_dict(values, logger=False)
        self.log("loss", parts["loss"].detach(), prog_bar=True, logger=False)
        if self.is_recorded(batch_idx):
            rates = {f"train/{group['name']}": group["lr"] for group in self.optimizer_groups()}
            means = {name: self.trainer.strategy.reduce(part) for name, part in values.items()}
            self.record(means | rates, self.global_step)
        return parts["loss"]

    def is_recorded(self, batch_idx: int) -> bool:
        """Whether this batch ends in a step that is logged."""
        batches = batch_idx + 1
        steps = batches % self.trainer.accumulate_grad_batches == 0 or self.trainer.is_last_batch
        return steps and (self.global_step + 1) % self.trainer.log_every_n_steps == 0

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups with their names and rates."""
        return self.optimizers().param_groups

    def record(self, values: Mapping[str, Any], step: int) -> None:
        """Hand values to the loggers at once.

        Lightning would do so after the hooks of a step or an epoch, so that a checkpoint that is
        written in one of them would stand before values that a resumed run does not compute again.
        """
        for logger in self.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch}, step)

    def loss_parts(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Losses and penalties of a batch of chunks by name, and their weighted sum as `loss`."""
        target = sum_stems(batch["stems"], self.stems, self.separator.target_stems)
        separation = self.separator.separate_chunk(batch["mixture"], target)
        terms = {name: loss(separation) for name, loss in self.losses.items()}
        total = sum(self.loss_weights[name] * term for name, term in terms.items())
        total = total + sum(separation.penalties.values())
        return terms | dict(separation.penalties) | {"loss": total}

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch, at once, and step a schedule that is counted in epochs."""
        sums = {name: self.trainer.strategy.reduce(part) for name, part in self.sums.items()}
        chunks = sums.pop("chunks")
        means = {f"train/{name}_epoch": part / chunks for name, part in sums.items()}
        self.log_dict(means, logger=False)
        self.record(means, self.global_step - 1)
        if self.epoch_schedule is not None:
            monitor = self.epoch_schedule.get("monitor")
            if monitor is None:
                self.epoch_schedule["scheduler"].step()
            elif self.validated:
                self.epoch_schedule["scheduler"].step(self.monitored(monitor))
        self.validated = False

    def monitored(self, name: str) -> float:
        """The last value of a logged metric.

        Raises:
            InputError: it is not logged.
        """
        metrics = self.trainer.callback_metrics
        if name not in metrics:
            raise InputError(f"monitor={name}: is not logged; {did_you_mean(name, metrics)}")
        return float(metrics[name])

    def validation_step(self, batch: TrainingBatch) -> TrainingBatch:
        """Separate a whole track and collect the scores of its targets.

        Returns:
            what callbacks show: `target`, `estimate` `(targets, channels, time)` and `si_sdr`
            `(targets,)` in dB.
        """
        mixture = batch["mixture"]
        target = sum_stems(batch["stems"], self.stems, self.separator.target_stems)
        estimate = self.separator(mixture, int(batch["sample_rate"]))
        flat = target.flatten(-2)
        scores = si_sdr(estimate.flatten(-2), flat)
        gains = scores - si_sdr(mixture.flatten().expand_as(flat), flat)
        silent = is_silent(flat)
        for name, score, gain, skip in zip(
            self.separator.targets, scores, gains, silent, strict=True
        ):
            if not skip:
                self.scores["si_sdr"].update(score)
                self.scores["si_sdr_gain"].update(gain)
                self.scores[f"si_sdr/{name}"].update(score)
        for metric in self.metrics.values():
            metric.update(estimate, target, mixture, int(batch["sample_rate"]))
        return {"target": target, "estimate": estimate, "si_sdr": scores}

    def on_validation_epoch_end(self) -> None:
        """Log the means.

        Raises:
            InputError: the targets are silent in every validation track, or a score is not finite.
        """
        self.validated = True
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
        for name, metric in self.metrics.items():
            mean = metric.compute()
            if torch.isfinite(mean):  # else it was undefined everywhere
                self.log(f"val/{name}", mean.float())
            metric.reset()

    def configure_optimizers(self) -> Optimizer | dict[str, Any]:
        """Optimizer and schedule for Lightning."""
        optimizer = self.make_optimizer(self)
        if self.make_schedule is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        schedule = self.make_schedule(optimizer, int(steps) if math.isfinite(steps) else 0)
        if schedule["interval"] == "epoch":
            self.epoch_schedule = schedule
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is ours: plain values and tensors, so `weights_only=True` can load it."""
        sums = {name: self.trainer.strategy.reduce(part) for name, part in self.sums.items()}
        checkpoint[CHECKPOINT_KEY] = {
            "format": CHECKPOINT_FORMAT,
            "config": self.config,
            "sums": sums,
        }
        if self.epoch_schedule is not None:
            checkpoint[CHECKPOINT_KEY]["schedule"] = self.epoch_schedule["scheduler"].state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the sums and the schedule of a checkpoint."""
        self.sums = dict(checkpoint[CHECKPOINT_KEY].get("sums", {}))
        self.schedule_state = checkpoint[CHECKPOINT_KEY].get("schedule")

    def on_train_start(self) -> None:
        """Now that there is a schedule, it gets its state back."""
        if self.epoch_schedule is not None and self.schedule_state is not None:
            self.epoch_schedule["scheduler"].load_state_dict(self.schedule_state)


def step_seed(place: Sequence[int]) -> int:
    """The seed of torch for a step, from `SeparationTask.place`."""
    return int(np.random.SeedSequence(tuple(place)).generate_state(1, np.uint64)[0])
