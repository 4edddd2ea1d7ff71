"""The command `train`: run one training, or one job of a sweep."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.config.names import literal
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.training.claim import FolderTaken
from auralflow_pl.training.run import train_run
from auralflow_pl.training.sweeps.results import (
    SweepResult,
    finished_before,
    job_overrides,
    save_result,
)

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train and return the best validation score in dB, which sweeps maximise.

    In a sweep every job has its own run folder with its result. A job that has a result is not
    run again, an interrupted job is resumed, and a failed job does not stop the others and
    returns NaN.

    Raises:
        FolderTaken: another process trains in the run folder.
        InputError: the configuration or the data is invalid; outside of sweeps only.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return train_run(config)
    folder = Path(OmegaConf.to_container(HydraConfig.get().runtime)["output_dir"])
    overrides = job_overrides(HydraConfig.get().overrides.task)
    if before := finished_before(folder, overrides):
        log.info("%s: finished before, %.2f dB", folder, before.score)
        return before.score
    config.paths.run_dir = literal(str(folder))
    if any((folder / "checkpoints").glob("*.ckpt")):
        config.resume = "auto"
    score, error = None, None
    try:
        score = train_run(config)
        if not math.isfinite(score):
            score, error = None, "no validation score"
    except FolderTaken:
        raise  # the result is that of the other process
    except InputError as fault:
        error = str(fault).splitlines()[-1]
    except Exception as fault:
        log.exception("job %s", folder.name)
        error = f"{type(fault).__name__}: {one_line(fault)}"
    if error:
        log.error("job %s failed: %s", folder.name, error)
    save_result(SweepResult(folder, overrides, score, error))
    return float("nan") if score is None else score
