"""What the command line says before and after a sweep."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from auralflow_pl.cli.output import fail
from auralflow_pl.config.names import home_expanded
from auralflow_pl.training.sweeps.results import summarize, write_table


class Summary(Callback):
    """Hydra calls it before the first job of a sweep, after each, and when all have ended."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Exit if Hydra would make a folder of the name `~`, or write beside everything else.

        With `silent`, Hydra and its launchers do not list the jobs.
        """
        for name in ("hydra", "hydra_plugins"):
            logging.getLogger(name).setLevel(logging.WARNING if config.silent else logging.NOTSET)
        folder = config.hydra.sweep.dir
        if not folder:
            fail("paths.run_dir=: an empty path; expected one (is a variable not set?)")
        if folder != (home := home_expanded(folder)):
            fail(
                f"paths.run_dir={folder}: a sweep needs the whole path; write {home} in the YAML "
                "file, or pass it on the command line"
            )

    def on_job_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Write the table after every job, so it is there if the sweep is killed."""
        if config.hydra.mode is RunMode.MULTIRUN:
            write_table(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Summarize the results in the folder of the sweep; name those that failed, and exit."""
        if config.trainer.get("fast_dev_run"):
            return  # it leaves nothing; what failed was raised
        folder = Path(config.hydra.sweep.dir)
        jobs = summarize(folder)
        if any(job.evaluation for job in jobs):
            from auralflow_pl.training.sweeps.seeds import summarize_experiment  # torch

            summarize_experiment(folder, jobs)
        failed = [job for job in jobs if job.error]
        if failed:
            folders = ", ".join(str(job.folder) for job in failed)
            fail(f"{len(failed)} of the jobs failed: {folders}; repeat the sweep to run them")
