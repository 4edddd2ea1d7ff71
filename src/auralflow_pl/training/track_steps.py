"""Whole tracks outside of training: a task separates them, and scores them as `evaluate` does."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import Tensor, nn

from auralflow_pl.data.tracks import TrackSound
from auralflow_pl.evaluation.results import ESTIMATE_NAME
from auralflow_pl.evaluation.scoring import pair_targets, score_track
from auralflow_pl.metrics.scores import SISDR
from auralflow_pl.separator.input import AudioArray

if TYPE_CHECKING:
    from auralflow_pl.separator.separator import Separator


class TrackSteps(pl.LightningModule):
    """Calls, `Trainer.predict` and `Trainer.test` of a task with a Separator."""

    separator: Separator
    stems: tuple[str, ...]  # of the batches
    metrics: nn.ModuleDict  # besides SI-SDR

    def __init__(self) -> None:
        super().__init__()
        self.tested: dict[str, list[float]] = {}  # scores of the test tracks by name

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
