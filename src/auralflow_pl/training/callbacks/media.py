"""Sounds and pictures of fixed validation excerpts, for the loggers and as files.

Validation separates every track anyway; all callbacks here show what it computed.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import soundfile
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from auralflow_pl.report.figures import figure_pixels, spectrogram_comparison, waveform_comparison
from auralflow_pl.training.task import SeparationTask


@dataclass(frozen=True)
class ValidationExcerpt:
    """A part of a validation track, `(channels, time)` each."""

    track: str
    target_name: str
    si_sdr: float  # of the whole track in dB
    sample_rate: int
    mixture: Tensor
    target: Tensor
    estimate: Tensor

    @property
    def residual(self) -> Tensor:
        """What is left of the mixture without the estimate."""
        return self.mixture - self.estimate

    @property
    def difference(self) -> Tensor:
        """Estimate minus target: the error."""
        return self.estimate - self.target

    @property
    def title(self) -> str:
        """For pictures."""
        return f"{self.track}: {self.target_name}, SI-SDR {self.si_sdr:+.2f} dB"

    @property
    def name(self) -> str:
        """For files and tags."""
        return re.sub(r"[^\w.-]+", "_", f"{self.track}-{self.target_name}")


class MediaLogger(pl.Callback):
    """Shows excerpts of the first validation tracks, the loudest part of each target.

    Args:
        folder: of the files, in the run folder.
        every_n_epochs: of which the last is shown.
        tracks: how many are shown.
        seconds: length of an excerpt.
    """

    def __init__(
        self,
        folder: str | Path,
        every_n_epochs: int = 5,
        tracks: int = 2,
        seconds: float = 8.0,
    ) -> None:
        self.folder = Path(folder)
        self.every_n_epochs = every_n_epochs
        self.tracks = tracks
        self.seconds = seconds

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Show a track if it is its turn."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if trainer.sanity_checking or not due or batch_idx >= self.tracks:
            return
        if not trainer.is_global_zero:
            return
        for number, name in enumerate(pl_module.separator.targets):
            excerpt = self.cut(batch, outputs, number, name)
            self.show(excerpt, trainer, self.folder / excerpt.name)

    def cut(self, batch: dict[str, Any], outputs: Any, number: int, name: str) -> ValidationExcerpt:
        """The part of a track in which a target is loudest."""
        rate = int(batch["sample_rate"])
        target = outputs["target"][number]
        frames = min(target.shape[-1], round(self.seconds * rate))
        power = F.avg_pool1d(target.square().mean(0)[None, None], frames, max(1, frames // 4))
        start = int(power.argmax()) * max(1, frames // 4)
        span = slice(start, start + frames)
        sounds = (batch["mixture"], target, outputs["estimate"][number])
        score = float(outputs["si_sdr"][number])
        parts = (sound[..., span].detach().float().cpu() for sound in sounds)
        return ValidationExcerpt(str(batch["name"]), name, score, rate, *parts)

    @abstractmethod
    def show(self, excerpt: ValidationExcerpt, trainer: pl.Trainer, folder: Path) -> None:
        """Hand it to the loggers, and write files into a folder of its own."""

    def publish(
        self, figure: Figure, kind: str, excerpt: ValidationExcerpt, trainer: pl.Trainer
    ) -> None:
        """A picture as a file and for the loggers."""
        image = figure_pixels(figure)
        path = self.folder / excerpt.name / f"{epoch_name(trainer)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture(f"{kind}/{excerpt.name}", image, trainer.global_step - 1)


def epoch_name(trainer: pl.Trainer) -> str:
    """For files; epochs count from 1."""
    return f"epoch-{trainer.current_epoch + 1:04d}"


class LogAudio(MediaLogger):
    """Mixture, target, estimate and residual as sounds."""

    def show(self, excerpt: ValidationExcerpt, trainer: pl.Trainer, folder: Path) -> None:
        """WAV files of 16 bits (mixture and target once), and the same sounds for the loggers."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("mixture", "target", "estimate", "residual"):
            sound: Tensor = getattr(excerpt, kind)
            changes = kind in ("estimate", "residual")
            epoch = f"{epoch_name(trainer)}-" if changes else ""
            path = folder / f"{epoch}{kind}.wav"
            samples = np.clip(sound.numpy().T, -1.0, 1.0)
            if changes or not path.is_file():
                soundfile.write(path, samples, excerpt.sample_rate, "PCM_16")
            for logger in trainer.loggers:
                if hasattr(logger, "log_sound"):
                    tag = f"audio/{excerpt.name}/{kind}"
                    step = trainer.global_step - 1
                    logger.log_sound(tag, samples, excerpt.sample_rate, step)


class LogSpectrogram(MediaLogger):
    """Spectrograms of mixture, estimate, target, and of their difference."""

    def show(self, excerpt: ValidationExcerpt, trainer: pl.Trainer, folder: Path) -> None:  # noqa: ARG002
        """A picture."""
        sounds = {
            kind: getattr(excerpt, kind) for kind in ("mixture", "estimate", "target", "difference")
        }
        figure = spectrogram_comparison(sounds, excerpt.sample_rate, excerpt.title)
        self.publish(figure, "spectrogram", excerpt, trainer)


class LogWaveform(MediaLogger):
    """Waveforms of mixture, estimate, target, and of their difference."""

    def show(self, excerpt: ValidationExcerpt, trainer: pl.Trainer, folder: Path) -> None:  # noqa: ARG002
        """A picture."""
        sounds = {
            kind: getattr(excerpt, kind) for kind in ("mixture", "estimate", "target", "difference")
        }
        figure = waveform_comparison(sounds, excerpt.sample_rate, excerpt.title)
        self.publish(figure, "waveform", excerpt, trainer)
