"""The command `train`: run one training, or one job of a sweep."""

from __future__ import annotations

import contextlib
import logging
import math
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.config.names import literal
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.training.run import train_best, train_run
from auralflow_pl.training.start.claim import FolderTaken
from auralflow_pl.training.sweeps.results import (
    RESULT_FILE,
    SweepResult,
    finished_before,
    job_overrides,
    save_result,
)

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train and return the best validation score, or run a job of a sweep.

    Raises:
        FolderTaken: another process trains in the run folder.
        InputError: the configuration or the data is invalid; see `sweep_job` for those of sweeps.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return train_run(config)
    folder = Path(OmegaConf.to_container(HydraConfig.get().runtime)["output_dir"])
    if config.trainer.get("fast_dev_run"):
        with contextlib.suppress(OSError):  # there are files in it
            folder.rmdir()
        return train_run(config)
    return sweep_job(config, folder)


def sweep_job(config: DictConfig, folder: Path) -> float:
    """Train in the folder of a job, keep the result there and return the score, NaN if it failed.

    A job that has a result is not run again, an interrupted job is resumed, and a failed job does
    not stop the others.

    Raises:
        FolderTaken: another process trains in the folder.
        InputError: the folder is that of another sweep.
    """
    overrides = job_overrides(HydraConfig.get().overrides.task)
    if before := finished_before(folder, overrides):
        log.info("%s: finished before, %s", folder, before.outcome)
        return before.score
    (folder / RESULT_FILE).unlink(missing_ok=True)  # of a failure before
    config.paths.run_dir = literal(str(folder))
    if any((folder / "checkpoints").glob("*.ckpt")):
        config.resume = "auto"
    best, error = None, None
    try:
        best = train_best(config)
        if not math.isfinite(best.value):
            best, error = None, "no validation score"
    except FolderTaken:
        raise  # the result is that of the other process
    except InputError as fault:
        error = str(fault).splitlines()[-1]
    except Exception as fault:
        log.exception("job %s", folder.name)
        error = f"{type(fault).__name__}: {one_line(fault)}"
    if error:
        log.error("job %s failed: %s", folder.name, error)
    if best is None:
        save_result(SweepResult(folder, overrides, None, error))
        return float("nan")
    save_result(SweepResult(folder, overrides, best.value, None, best.monitor, best.mode))
    return best.value
