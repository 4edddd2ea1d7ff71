"""The LightningModule that trains and validates a Separator."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from auralflow_pl.checkpoints.trained import CHECKPOINT_FORMAT, CHECKPOINT_KEY
from auralflow_pl.checks.values import within
from auralflow_pl.data.targets import known_targets, sum_stems
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.metrics.base import TargetMetric
from auralflow_pl.separator.separator import Separator
from auralflow_pl.training.schedules import Schedule
from auralflow_pl.training.track_steps import TrackSteps, TrainingBatch, as_double


class SeparationTask(TrackSteps):
    """Trains the network of a Separator on chunks and validates the Separator on whole tracks.

    Training logs `train/loss_step` and `train/loss_epoch`, the weighted sum of all losses and
    penalties, and each of these under its own name (`train/l1_step`, `train/kl_step`). Validation
    logs `val/si_sdr` and `val/si_sdr_gain` in dB, means over tracks and targets that are not
    silent, and with several targets also `val/si_sdr/<target>`. It also logs `val/loss`, the mean
    loss of some chunks of every track, and with several losses or penalties each as
    `val/loss/<name>`.

    `Trainer.test` logs `test/si_sdr` and all `metrics`, scored as `evaluate` does: means over
    tracks and targets, and with several targets also `test/si_sdr/<target>`.

    Schedules counted in epochs are stepped here, at the end of an epoch and before checkpoints
    are written. Lightning would step them afterwards, and a resumed run would lose the step.

    Args:
        separator: Separator to train.
        losses: losses by name; each maps a `Separation` to a scalar.
        stems: names of the stems in the batches, in their order.
        optimizer: function that builds the optimizer of a module.
        schedule: function that builds the schedule from optimizer and number of steps; None:
            constant learning rate.
        config: plain, resolved configuration, stored in every checkpoint to load it later; None:
            what the Separator was built from.
        channels_last: use the memory format channels-last for the network.
        loss_weights: weights of the losses by name; default: 1.
        metrics: further validation metrics by name, logged as `val/<name>`, the mean over tracks
            and targets in which they are defined.
        loss_chunks: number of chunks of every validation track for `val/loss`, spread evenly;
            0: no `val/loss`.
        loss_seconds: length of these chunks in seconds; shorter tracks are padded with zeros.
        log_step_loss: pass the losses of single steps to the loggers. Callbacks and the progress
            bar have them in any case.
        log_epoch_loss: pass the mean losses of epochs to the loggers, likewise.
        loss_truncation: share of the chunks of a batch on a device, rounded down, that do not count
            in a training step: those with the highest loss; from 0 to 0.9.

    Raises:
        InputError: `loss_weights` names an unknown loss.
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
        loss_chunks: int = 0,
        loss_seconds: float = 4.0,
        log_step_loss: bool = True,
        log_epoch_loss: bool = True,
        loss_truncation: float = 0.0,
    ) -> None:
        super().__init__(separator, stems, metrics or {}, loss_chunks, loss_seconds)
        for name in loss_weights or {}:
            if name not in losses:
                raise InputError(f"loss_weights.{name}: no such loss, {did_you_mean(name, losses)}")
        self.losses = nn.ModuleDict(losses)
        self.loss_weights = dict.fromkeys(losses, 1.0) | dict(loss_weights or {})
        self.log_step_loss, self.log_epoch_loss = log_step_loss, log_epoch_loss
        self.loss_truncation = within("loss_truncation", loss_truncation, 0, 0.9)
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.config = copy.deepcopy(dict(config or separator.config or {}))
        self.save_hyperparameters(self.config, logger=False)  # the run logs them
        if channels_last:
            separator.network.to(memory_format=torch.channels_last)
        self.sums: dict[str, Tensor] = {}  # loss sums of the epoch by name, weighted by chunks
        self.epoch_schedule: Schedule | None = None
        self.schedule_state: dict[str, Any] | None = None
        self.logged_state: dict[str, Tensor] = {}  # values logged up to a validation in the epoch

    @property
    def lr(self) -> float | None:
        """Learning rate of the optimizer, which `Tuner.lr_find` sets; None: not in the config."""
        return self.config.get("optimizer", {}).get("lr")

    @lr.setter
    def lr(self, value: float) -> None:
        self.config["optimizer"]["lr"] = self.hparams["optimizer"]["lr"] = value
        self.make_optimizer = partial(self.make_optimizer, lr=value)

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
        """Reset the loss sums of the epoch."""
        self.sums = {}

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Seed the random numbers of a step, such as dropout, by its `place`."""
        torch.manual_seed(step_seed(self.place(batch_idx)))

    def place(self, batch_idx: int) -> tuple[int, ...]:
        """Seed, epoch, batch and device, which determine the random numbers of a step."""
        return (self.config.get("seed", 0), self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch of chunks, and log it and its parts."""
        parts = self.loss_parts(batch)
        chunks = len(batch["mixture"])
        for name, part in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + chunks * as_double(part.detach())
        count = torch.tensor(float(chunks), device=self.device)  # NCCL sums on GPUs only
        self.sums["chunks"] = self.sums.get("chunks", 0.0) + count
        values = {f"train/{name}_step": part.detach() for name, part in parts.items()}
        self.log_dict(values, logger=False)
        self.log("loss", parts["loss"].detach(), prog_bar=True, logger=False)
        if self.is_recorded(batch_idx):
            rates = {f"train/{group['name']}": group["lr"] for group in self.optimizer_groups()}
            logged = values if self.log_step_loss else {}
            means = {name: self.trainer.strategy.reduce(part) for name, part in logged.items()}
            self.record(means | rates, self.global_step)
        return parts["loss"]

    def is_recorded(self, batch_idx: int) -> bool:
        """Return True if this batch ends with an optimizer step that is logged."""
        batches = batch_idx + 1
        steps = batches % self.trainer.accumulate_grad_batches == 0 or self.trainer.is_last_batch
        return steps and self.is_logged_step(self.global_step + 1)

    def is_logged_step(self, steps: int) -> bool:
        """Whether values are logged after so many optimizer steps; `log_every_n_steps=0`: never."""
        every = self.trainer.log_every_n_steps
        return every > 0 and steps % every == 0

    def on_train_batch_end(self, outputs: Any, batch: TrainingBatch, batch_idx: int) -> None:  # noqa: ARG002
        """Validate after the last of `trainer.max_steps`, also within an epoch."""
        if self.global_step == self.trainer.max_steps:
            self.trainer.should_stop = True

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimizer, with names and learning rates."""
        return self.optimizers().param_groups

    def record(self, values: Mapping[str, Any], step: int) -> None:
        """Pass values to the loggers immediately.

        Lightning logs after the hooks of a step or an epoch. Values of a checkpoint written in a
        hook would then be lost, since a resumed run does not compute them again.
        """
        for logger in self.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch}, step)

    def loss_parts(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Losses and penalties of a batch of chunks by name, and their weighted sum `loss`."""
        target = sum_stems(batch["stems"], self.stems, self.separator.target_stems)
        separation = self.separator.separate_chunk(batch["mixture"], target)
        if "holds" in batch:
            targets = self.separator.target_stems
            separation.known = known_targets(batch["holds"], self.stems, targets)
            separation.bandwidth = batch["bandwidth"]
        separation.truncation = self.loss_truncation if self.training else 0.0
        terms = {name: loss(separation) for name, loss in self.losses.items()}
        total = sum(self.loss_weights[name] * term for name, term in terms.items())
        total = total + sum(separation.penalties.values())
        return terms | dict(separation.penalties) | {"loss": total}

    def on_train_epoch_end(self) -> None:
        """Log the mean losses of the epoch immediately, and step a schedule counted in epochs."""
        sums = {name: self.trainer.strategy.reduce(part) for name, part in self.sums.items()}
        if chunks := sums.pop("chunks", None):  # None: resumed at trainer.max_steps
            means = {f"train/{name}_epoch": (part / chunks).float() for name, part in sums.items()}
            self.log_dict(means, logger=False)
            if self.log_epoch_loss:
                self.record(means, self.global_step - 1)
        if self.epoch_schedule is not None:
            monitor = self.epoch_schedule.get("monitor")
            if monitor is None:
                self.epoch_schedule["scheduler"].step()
            elif self.validated:
                self.epoch_schedule["scheduler"].step(self.monitored(monitor))
        self.validated = False

    def monitored(self, name: str) -> float:
        """Last value of a logged metric.

        Raises:
            InputError: there is no such metric.
        """
        metrics = self.trainer.callback_metrics
        if name not in metrics:
            raise InputError(f"monitor={name}: is not logged; {did_you_mean(name, metrics)}")
        return float(metrics[name])

    def logged_names(self) -> list[str]:
        """Names of all metrics that the task logs, for callbacks and schedules that monitor one."""
        layers = self.separator.network.modules()
        penalties = (name for layer in layers for name in getattr(layer, "penalty_names", ()))
        parts = [*self.losses, *penalties]
        several = len(self.separator.targets) > 1
        scores = [name for name in self.scores if several or "/" not in name]
        return [
            *(f"val/{name}" for name in (*scores, *self.metrics)),
            *(["val/loss"] if self.loss_chunks else []),
            *(f"val/loss/{name}" for name in parts if self.loss_chunks and len(parts) > 1),
            *(f"train/{name}_{when}" for name in ("loss", *parts) for when in ("step", "epoch")),
        ]

    def configure_optimizers(self) -> Optimizer | dict[str, Any]:
        """Build optimizer and schedule; Lightning steps only schedules counted in steps."""
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
        """Add configuration and state as plain values and tensors, loadable with `weights_only`."""
        sums = {name: self.trainer.strategy.reduce(part) for name, part in self.sums.items()}
        checkpoint[CHECKPOINT_KEY] = {
            "format": CHECKPOINT_FORMAT,
            "config": self.config,
            "sums": sums,
        }
        if self.validated:
            logged = self.trainer.callback_metrics
            checkpoint[CHECKPOINT_KEY]["logged"] = {k: v.cpu() for k, v in logged.items()}
        if self.epoch_schedule is not None:
            checkpoint[CHECKPOINT_KEY]["schedule"] = self.epoch_schedule["scheduler"].state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the loss sums and store what is restored when training starts."""
        sums = checkpoint[CHECKPOINT_KEY].get("sums", {})
        self.sums = {name: part.to(self.device) for name, part in sums.items()}
        self.schedule_state = checkpoint[CHECKPOINT_KEY].get("schedule")
        self.logged_state = checkpoint[CHECKPOINT_KEY].get("logged", {})
        self.validated = bool(self.logged_state)

    def on_train_start(self) -> None:
        """Restore the values of a validation within the epoch, and the state of the schedule."""
        logged = {name: value.to(self.device) for name, value in self.logged_state.items()}
        self.trainer.callback_metrics.update(logged)
        if self.epoch_schedule is not None and self.schedule_state is not None:
            self.epoch_schedule["scheduler"].load_state_dict(self.schedule_state)


def step_seed(place: Sequence[int]) -> int:
    """Seed of torch for a step, from `SeparationTask.place`."""
    return int(np.random.SeedSequence(tuple(place)).generate_state(1, np.uint64)[0])
