"""What a task does with whole tracks: validate, test and separate."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from auralflow_pl.data.targets import sum_stems
from auralflow_pl.data.tracks import TrackSound
from auralflow_pl.errors import InputError
from auralflow_pl.evaluation.results import ESTIMATE_NAME
from auralflow_pl.evaluation.scoring import pair_targets, score_track
from auralflow_pl.metrics.base import TargetMetric
from auralflow_pl.metrics.scale_invariant import is_silent, si_sdr
from auralflow_pl.metrics.scores import SISDR
from auralflow_pl.separator.input import AudioArray
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.resampling import resample

TrainingBatch = dict[str, Any]


class TrackSteps(pl.LightningModule):
    """Validation, calls, `Trainer.test` and `Trainer.predict` of a task with a Separator.

    Args:
        separator: the Separator.
        stems: names of the stems in the batches, in their order.
        metrics: metrics by name, besides SI-SDR.
        loss_chunks: number of chunks of every validation track for `val/loss`.
        loss_seconds: length of these chunks in seconds.
    """

    def __init__(
        self,
        separator: Separator,
        stems: Sequence[str],
        metrics: Mapping[str, TargetMetric],
        loss_chunks: int,
        loss_seconds: float,
    ) -> None:
        super().__init__()
        self.separator = separator
        self.stems = tuple(stems)
        names = ("si_sdr", "si_sdr_gain", *(f"si_sdr/{name}" for name in separator.targets))
        self.scores = nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in names})
        self.metrics = nn.ModuleDict({k: metric for k, metric in metrics.items() if k != "si_sdr"})
        self.loss_chunks = loss_chunks
        self.loss_seconds = loss_seconds
        self.val_losses: dict[str, list[Tensor]] = {}  # of the chunks of one validation, by name
        self.validated = False  # in this epoch
        self.tested: dict[str, list[float]] = {}  # scores of the test tracks by name

    @abstractmethod
    def loss_parts(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Losses and penalties of a batch of chunks by name, and their weighted sum `loss`."""

    def on_fit_start(self) -> None:
        """Make the states of the metrics anew: those of `Trainer.validate` cannot be changed."""
        for metric in (*self.scores.values(), *self.metrics.values()):
            metric.reset()

    def validation_step(self, batch: TrainingBatch) -> TrainingBatch:
        """Separate a whole track and accumulate the scores of its targets.

        Returns:
            for callbacks: `target` and `estimate` `(targets, channels, time)`, and `si_sdr`
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
        for chunk in self.chunks_for_loss(batch):
            for name, part in self.loss_parts(chunk).items():
                self.val_losses.setdefault(name, []).append(as_double(part))
        return {"target": target, "estimate": estimate, "si_sdr": scores}

    def chunks_for_loss(self, batch: TrainingBatch) -> Iterator[TrainingBatch]:
        """Yield `loss_chunks` evenly spread chunks of a track, at the rate of the network."""
        rate, own = int(batch["sample_rate"]), self.separator.sample_rate
        length = math.ceil(self.loss_seconds * rate)
        last = max(0, batch["mixture"].shape[-1] - length)
        count = min(self.loss_chunks, last + 1)
        for start in np.linspace(0, last, count).round().astype(int) if count else ():
            span = slice(start, start + length)
            mixture, stems = (
                F.pad(batch[key][..., span], (0, max(0, length - batch[key].shape[-1])))[None]
                for key in ("mixture", "stems")
            )
            yield {"mixture": resample(mixture, rate, own), "stems": resample(stems, rate, own)}

    def on_validation_epoch_end(self) -> None:
        """Log the mean scores and losses.

        Raises:
            InputError: the targets are silent in every validation track, or the score is not
                finite.
        """
        self.validated = not self.trainer.barebones  # which logs no scores
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
        means = {name: torch.stack(values).mean() for name, values in self.val_losses.items()}
        self.val_losses = {}
        if "loss" in means:
            self.log("val/loss", means.pop("loss").float())
        if len(means) > 1:
            self.log_dict({f"val/loss/{name}": mean.float() for name, mean in means.items()})
        for name, metric in self.metrics.items():
            mean = metric.compute()
            if torch.isfinite(mean):  # else it was undefined in all tracks
                self.log(f"val/{name}", mean.float())
            metric.reset()

    def forward(self, audio: AudioArray, sample_rate: int | None = None) -> AudioArray:
        """Separate audio `(..., channels, time)`; see `Separator.forward`."""
        return self.separator(audio, sample_rate)

    def predict_step(self, batch: dict[str, Any]) -> Tensor:
        """Estimates `(targets, channels, time)` of a whole track."""
        return self(batch["mixture"], int(batch["sample_rate"]))

    def test_step(self, batch: dict[str, Any]) -> None:
        """Separate a whole track and score its targets as `evaluate` does."""
        rate, sums = int(batch["sample_rate"]), self.separator.target_stems
        sound = TrackSound(batch["mixture"], batch["stems"], batch["total"])
        track = pair_targets(self.predict_step(batch), sound, self.stems, sums, rate)
        several = len(sums) > 1
        metrics = [SISDR(), *self.metrics.values()]
        for target in score_track(track, self.separator.stft, metrics, references=()):
            for heading, values in target.values.items():
                value = values[ESTIMATE_NAME]
                if value is None:
                    continue
                name = f"test/{heading}"
                for key in (name, f"{name}/{target.target}") if several else (name,):
                    self.tested.setdefault(key, []).append(value)

    def on_test_epoch_end(self) -> None:
        """Log the means over the tracks, and targets, in which a score is defined."""
        self.log_dict({name: fmean(values) for name, values in self.tested.items()})
        self.tested.clear()


def as_double(value: Tensor) -> Tensor:
    """A scalar in float64, where the device has it (MPS does not).

    Sums of an epoch are averaged over processes whenever a checkpoint is written. In float32 the
    mean of a resumed epoch would depend on the step at which it was interrupted.
    """
    return value if value.device.type == "mps" else value.double()
