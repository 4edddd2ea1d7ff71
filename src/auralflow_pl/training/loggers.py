"""Loggers whose method `resume(step)` discards the records that a resumed run logs again."""

from __future__ import annotations

import csv
import io
import secrets
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning.loggers as pl
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from auralflow_pl.errors import InputError, one_line
from auralflow_pl.system.files import write_text


class TensorBoardLogger(pl.TensorBoardLogger):
    """Logs TensorBoard event files; the file of a resumed run replaces later events."""

    def resume(self, step: int) -> None:
        """Make readers discard the events of earlier files from `step` on."""
        self._kwargs["purge_step"] = step

    @rank_zero_only
    def save(self) -> None:
        """Write buffered events."""
        super().save()
        self.experiment.flush()

    @rank_zero_only
    def log_picture(self, tag: str, image: np.ndarray, step: int) -> None:
        """Log a uint8 image `(height, width, 3)`."""
        self.experiment.add_image(tag, image, step, dataformats="HWC")

    @rank_zero_only
    def log_sound(self, tag: str, samples: np.ndarray, sample_rate: int, step: int) -> None:
        """Log audio `(time, channels)` as mono, which is all that TensorBoard plays."""
        self.experiment.add_audio(tag, samples.mean(1)[None], step, sample_rate)

    @rank_zero_only
    def log_histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Log the histogram of values."""
        self.experiment.add_histogram(tag, values, step)


class WandbLogger(pl.WandbLogger):
    """Logs to Weights & Biases; the id of the W&B run is stored, so a resumed run continues it.

    Args:
        save_dir: run folder, which stores the id.
        project: W&B project.
        name: name of the W&B run; None: chosen by W&B.
        offline: write to the run folder only, for `wandb sync`.

    Raises:
        InputError: the package wandb is not installed.
    """

    def __init__(
        self, save_dir: str | Path, project: str, name: str | None = None, offline: bool = False
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise InputError(
                f"logger=wandb: wandb cannot be imported ({one_line(error)}); pip install wandb"
            ) from error
        path = Path(save_dir) / "wandb_id"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(secrets.token_hex(4), encoding="utf-8")
        self.media = {"image": wandb.Image, "sound": wandb.Audio, "histogram": wandb.Histogram}
        super().__init__(
            name,
            save_dir,
            id=path.read_text(encoding="utf-8"),
            offline=offline,
            project=project,
            resume="allow",
            settings=wandb.Settings(silent=True),
        )
        self._wandb_init.pop("anonymous", None)  # removed from W&B, but passed by Lightning 2.6

    def resume(self, step: int) -> None:
        """Do nothing: W&B continues the run by its id."""

    @rank_zero_only
    def log_picture(self, tag: str, image: np.ndarray, step: int) -> None:
        """Log a uint8 image `(height, width, 3)`."""
        self.log_metrics({tag: self.media["image"](image)}, step)

    @rank_zero_only
    def log_sound(self, tag: str, samples: np.ndarray, sample_rate: int, step: int) -> None:
        """Log audio `(time, channels)` as mono."""
        self.log_metrics({tag: self.media["sound"](samples.mean(1), sample_rate)}, step)

    @rank_zero_only
    def log_histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Log the histogram of values."""
        self.log_metrics({tag: self.media["histogram"](values)}, step)


class CSVLogger(pl.logger.Logger):
    """Logs to a CSV file with a row per call, a column per metric, and `step` as last column.

    Args:
        save_dir: folder of the file, created when needed.
        filename: name of the file.
    """

    def __init__(self, save_dir: str | Path, filename: str = "metrics.csv") -> None:
        super().__init__()
        self.path = Path(save_dir) / filename
        self.columns: list[str] = []
        self.waiting: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """Empty, since every run folder has one version."""
        return ""

    @rank_zero_only
    def resume(self, step: int) -> None:
        """Remove rows from `step` on, and an incomplete last row."""
        rows = [row for row in self.read() if int(row["step"]) < step]
        self.columns = [name for name in (rows[0] if rows else ()) if name != "step"]
        self.write_anew(rows)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Do nothing: the run folder has the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """Add a row; it is written by `save`, at the latest after 100 rows."""
        self.waiting.append({k: float(v) for k, v in metrics.items()} | {"step": int(step or 0)})
        if len(self.waiting) >= 100:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Append the buffered rows; the file is rewritten only if they add a column."""
        if not self.waiting:
            return
        new = {name for row in self.waiting for name in row} - {*self.columns, "step"}
        if new:
            before = self.read()
            self.columns = sorted({*self.columns, *new})
            self.write_anew(before)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(self.text(self.waiting))
        self.waiting = []

    @rank_zero_only
    def finalize(self, status: str) -> None:  # noqa: ARG002 - Lightning's signature
        """Write the buffered rows."""
        self.save()

    def read(self) -> list[dict[str, str]]:
        """Read the complete rows of the file."""
        if not self.path.is_file():
            return []
        complete = self.path.read_text(encoding="utf-8").rpartition("\n")[0]
        return list(csv.DictReader(io.StringIO(complete)))

    def write_anew(self, rows: list[dict[str, str]]) -> None:
        """Replace the file atomically."""
        header = ",".join([*self.columns, "step"]) + "\n"
        write_text(self.path, header + self.text(rows))

    def text(self, rows: list[dict[str, Any]]) -> str:
        """Format rows as lines of the file."""
        lines = io.StringIO()
        writer = csv.DictWriter(lines, [*self.columns, "step"], lineterminator="\n")
        writer.writerows(rows)
        return lines.getvalue()
