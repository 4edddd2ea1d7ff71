"""Callbacks that log audio and figures of fixed validation excerpts, also as files."""

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

from auralflow_pl.errors import printable
from auralflow_pl.report.figures import figure_pixels, spectrogram_comparison, waveform_comparison
from auralflow_pl.report.spare import spare_result
from auralflow_pl.training.task import SeparationTask


@dataclass(frozen=True)
class ValidationExcerpt:
    """An excerpt of a validation track; mixture, target and estimate are `(channels, time)`."""

    track: str
    target_name: str
    si_sdr: float  # SI-SDR of the whole track in dB
    sample_rate: int
    mixture: Tensor
    target: Tensor
    estimate: Tensor

    @property
    def residual(self) -> Tensor:
        """Mixture minus estimate, `(channels, time)`."""
        return self.mixture - self.estimate

    @property
    def difference(self) -> Tensor:
        """Error, estimate minus target, `(channels, time)`."""
        return self.estimate - self.target

    @property
    def title(self) -> str:
        """Title of figures."""
        return f"{printable(self.track)}: {self.target_name}, SI-SDR {self.si_sdr:+.2f} dB"

    @property
    def name(self) -> str:
        """Name for files and tags."""
        return re.sub(r"[^\w.-]+", "_", f"{self.track}-{self.target_name}")


class MediaLogger(pl.Callback):
    """Logs the loudest excerpt of each target in the first validation tracks.

    The estimates are those that validation computes, so nothing is separated again. What cannot be
    written or drawn is a warning; the training goes on.

    Args:
        folder: folder of the files.
        every_n_epochs: epochs between records.
        tracks: number of tracks.
        seconds: length of an excerpt in seconds.
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
        """Log the targets of a track if it is among the first and the epoch is due."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if trainer.sanity_checking or not due or batch_idx >= self.tracks:
            return
        if not trainer.is_global_zero:
            return
        for number, name in enumerate(pl_module.separator.targets):
            with spare_result(self.folder):
                excerpt = self.cut(batch, outputs, number, name)
                self.show(excerpt, trainer, self.folder / excerpt.name)

    def cut(self, batch: dict[str, Any], outputs: Any, number: int, name: str) -> ValidationExcerpt:
        """Excerpt of a track in which a target is loudest.

        Args:
            batch: the track, from the validation data.
            outputs: result of `SeparationTask.validation_step`.
            number: number of the target.
            name: name of the target.
        """
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
        """Pass an excerpt to the loggers and write its files to `folder`."""

    def publish(
        self, figure: Figure, kind: str, excerpt: ValidationExcerpt, trainer: pl.Trainer
    ) -> None:
        """Write a figure as PNG and pass it to the loggers under `<kind>/<excerpt>`."""
        image = figure_pixels(figure)
        path = self.folder / excerpt.name / f"{epoch_name(trainer)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        for logger in trainer.loggers:
            if hasattr(logger, "log_picture"):
                logger.log_picture(f"{kind}/{excerpt.name}", image, trainer.global_step - 1)


def epoch_name(trainer: pl.Trainer) -> str:
    """Name of the current epoch in file names; epochs count from 1."""
    return f"epoch-{trainer.current_epoch + 1:04d}"


class LogAudio(MediaLogger):
    """Logs mixture, target, estimate and residual of validation excerpts as audio.

    Args:
        folder: see `MediaLogger`.
        every_n_epochs: see `MediaLogger`.
        tracks: see `MediaLogger`.
        seconds: see `MediaLogger`.
        estimate: log the estimates.
        residual: log the residuals, mixture minus estimate.
    """

    def __init__(
        self,
        folder: str | Path,
        every_n_epochs: int = 5,
        tracks: int = 2,
        seconds: float = 8.0,
        estimate: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__(folder, every_n_epochs, tracks, seconds)
        wanted = {"mixture": True, "target": True, "estimate": estimate, "residual": residual}
        self.kinds = [kind for kind, is_wanted in wanted.items() if is_wanted]

    def show(self, excerpt: ValidationExcerpt, trainer: pl.Trainer, folder: Path) -> None:
        """Write 16-bit WAV files (mixture and target once), and log the same audio."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind in self.kinds:
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
    """Logs spectrograms of mixture, estimate, target and error of validation excerpts."""

    def show(self, excerpt: ValidationExcerpt, trainer: pl.Trainer, folder: Path) -> None:  # noqa: ARG002
        """Write and log the spectrograms of an excerpt."""
        sounds = {
            kind: getattr(excerpt, kind) for kind in ("mixture", "estimate", "target", "difference")
        }
        figure = spectrogram_comparison(sounds, excerpt.sample_rate, excerpt.title)
        self.publish(figure, "spectrogram", excerpt, trainer)


class LogWaveform(MediaLogger):
    """Logs waveforms of mixture, estimate, target and error of validation excerpts."""

    def show(self, excerpt: ValidationExcerpt, trainer: pl.Trainer, folder: Path) -> None:  # noqa: ARG002
        """Write and log the waveforms of an excerpt."""
        sounds = {
            kind: getattr(excerpt, kind) for kind in ("mixture", "estimate", "target", "difference")
        }
        figure = waveform_comparison(sounds, excerpt.sample_rate, excerpt.title)
        self.publish(figure, "waveform", excerpt, trainer)
