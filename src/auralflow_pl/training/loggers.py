"""Loggers whose record goes on when a run is resumed, as if it had never stopped.

Each has `resume(step)`: what was logged at that step or later is about to be logged again.
"""

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
    """TensorBoard event files; a resumed run adds a file that replaces the later events."""

    def resume(self, step: int) -> None:
        """Let readers forget what other files say from `step` on."""
        self._kwargs["purge_step"] = step

    @rank_zero_only
    def save(self) -> None:
        """Write what is buffered."""
        super().save()
        self.experiment.flush()

    @rank_zero_only
    def log_picture(self, tag: str, image: np.ndarray, step: int) -> None:
        """An image, `(height, width, 3)` of uint8."""
        self.experiment.add_image(tag, image, step, dataformats="HWC")

    @rank_zero_only
    def log_sound(self, tag: str, samples: np.ndarray, sample_rate: int, step: int) -> None:
        """A sound, `(time, channels)`, as the mean of its channels: TensorBoard plays no others."""
        self.experiment.add_audio(tag, samples.mean(1)[None], step, sample_rate)

    @rank_zero_only
    def log_histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """The distribution of values."""
        self.experiment.add_histogram(tag, values, step)


class WandbLogger(pl.WandbLogger):
    """Weights & Biases; the run folder keeps the name of the W&B run, so that it goes on.

    Args:
        save_dir: the run folder.
        project: of W&B.
        name: of the run; None: W&B makes one up.
        offline: keep everything here, for `wandb sync`.

    Raises:
        InputError: the package is missing, or W&B cannot be used as it is set up.
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
            path.write_text(secrets.token_hex(4))
        self.media = {"image": wandb.Image, "sound": wandb.Audio, "histogram": wandb.Histogram}
        super().__init__(
            name,
            save_dir,
            id=path.read_text(),
            offline=offline,
            project=project,
            resume="allow",
            settings=wandb.Settings(silent=True),
        )
        self._wandb_init.pop("anonymous", None)  # Lightning 2.6 passes what W&B has given up

    def resume(self, step: int) -> None:
        """Nothing: W&B itself continues the run by its name."""

    @rank_zero_only
    def log_picture(self, tag: str, image: np.ndarray, step: int) -> None:
        """An image, `(height, width, 3)` of uint8."""
        self.log_metrics({tag: self.media["image"](image)}, step)

    @rank_zero_only
    def log_sound(self, tag: str, samples: np.ndarray, sample_rate: int, step: int) -> None:
        """A sound, `(time, channels)`, as the mean of its channels."""
        self.log_metrics({tag: self.media["sound"](samples.mean(1), sample_rate)}, step)

    @rank_zero_only
    def log_histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """The distribution of values."""
        self.log_metrics({tag: self.media["histogram"](values)}, step)


class CSVLogger(pl.logger.Logger):
    """A table with a row for each call, a column for each metric, and `step` as the last column.

    Args:
        save_dir: folder of the file, made when it is needed.
        filename: of the table.
    """

    def __init__(self, save_dir: str | Path, filename: str = "metrics.csv") -> None:
        super().__init__()
        self.path = Path(save_dir) / filename
        self.columns: list[str] = []
        self.waiting: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.parent.name

    @property
    def version(self) -> str:
        """None is kept: the run folder is the version."""
        return ""

    @rank_zero_only
    def resume(self, step: int) -> None:
        """Drop rows from `step` on, and a last row that was not written to its end."""
        rows = [row for row in self.read() if int(row["step"]) < step]
        self.columns = [name for name in (rows[0] if rows else ()) if name != "step"]
        self.write_anew(rows)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Nothing: the run folder holds the configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """Add a row."""
        self.waiting.append({k: float(v) for k, v in metrics.items()} | {"step": int(step or 0)})
        if len(self.waiting) >= 100:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write the rows that wait; the file is written anew only when a column is added."""
        if not self.waiting:
            return
        new = {name for row in self.waiting for name in row} - {*self.columns, "step"}
        if new:
            before = self.read()
            self.columns = sorted({*self.columns, *new})
            self.write_anew(before)
        with self.path.open("a", newline="") as file:
            file.write(self.text(self.waiting))
        self.waiting = []

    @rank_zero_only
    def finalize(self, status: str) -> None:  # noqa: ARG002 - Lightning's signature
        """Write the rest."""
        self.save()

    def read(self) -> list[dict[str, str]]:
        """The complete rows of the file."""
        if not self.path.is_file():
            return []
        complete = self.path.read_text().rpartition("\n")[0]
        return list(csv.DictReader(io.StringIO(complete)))

    def write_anew(self, rows: list[dict[str, str]]) -> None:
        """Replace the file at once."""
        header = ",".join([*self.columns, "step"]) + "\n"
        write_text(self.path, header + self.text(rows))

    def text(self, rows: list[dict[str, Any]]) -> str:
        """Rows as lines."""
        lines = io.StringIO()
        writer = csv.DictWriter(lines, [*self.columns, "step"], lineterminator="\n")
        writer.writerows(rows)
        return lines.getvalue()
