"""What the command line says when a sweep has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from auralflow_pl.cli.output import fail
from auralflow_pl.training.sweeps.results import summarize


class Summary(Callback):
    """Hydra calls it when all jobs of a sweep have ended."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Summarize the results in the folder of the sweep; name those that failed, and exit."""
        failed = [job for job in summarize(Path(config.hydra.sweep.dir)) if job.error]
        if failed:
            folders = ", ".join(str(job.folder) for job in failed)
            fail(f"{len(failed)} of the jobs failed: {folders}; repeat the sweep to run them")
