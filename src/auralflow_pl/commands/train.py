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
from auralflow_pl.system.processes import rank
from auralflow_pl.training.run import train_best, train_run
from auralflow_pl.training.start.claim import FolderTaken
from auralflow_pl.training.sweeps.evaluating import check_evaluable, evaluate_job
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
        if config.get("seeds", 1) != 1:
            raise InputError(
                f"seeds={config.seeds}: in a configuration; expected on the command line, "
                f"train.py seeds={config.seeds}"
            )
        return train_run(config)
    folder = Path(OmegaConf.to_container(HydraConfig.get().runtime)["output_dir"])
    if config.trainer.get("fast_dev_run"):
        with contextlib.suppress(OSError):  # there are files in it
            folder.rmdir()
        return train_run(config)
    return sweep_job(config, folder)


def sweep_job(config: DictConfig, folder: Path) -> float:
    """Train in the folder of a job, keep the result there and return the score, NaN if it failed.

    With `seeds`, its best checkpoint is then evaluated. What has a result is not done again, an
    interrupted job is resumed, and a failed job does not stop the others.

    Raises:
        FolderTaken: another process trains in the folder.
        InputError: the folder is that of another sweep.
    """
    overrides = job_overrides(HydraConfig.get().overrides.task)
    evaluated = config.seeds > 1
    done = finished_before(folder, overrides)
    if done and not (evaluated and is_not_evaluated(done)):
        log.info("%s: finished before, %s", folder, done.outcome)
        return done.score
    config.paths.run_dir = literal(str(folder))
    if not done:
        (folder / RESULT_FILE).unlink(missing_ok=True)  # of a failure before
        done = trained(config, folder, overrides, evaluated)
        save_result(done)
    if evaluated and done.score is not None and rank() == 0:
        done = done._replace(evaluation=None, error=None)
        try:
            done = done._replace(evaluation=evaluate_job(config, folder))
        except Exception as fault:
            done = done._replace(error=cause(fault, folder))
        save_result(done)
    return float("nan") if done.score is None else done.score


def is_not_evaluated(job: SweepResult) -> bool:
    """Whether a job has no evaluation, or its tables were removed."""
    return job.evaluation is None or not (job.folder / job.evaluation).is_file()


def trained(config: DictConfig, folder: Path, overrides: list[str], evaluated: bool) -> SweepResult:
    """Result of a training in the folder of a job; without a score and with a cause if it failed.

    Raises:
        FolderTaken: another process trains in the folder, and the result is that of this process.
    """
    if any((folder / "checkpoints").glob("*.ckpt")):
        config.resume = "auto"
    try:
        if evaluated:
            check_evaluable(config)
        best = train_best(config)
        if not math.isfinite(best.value):
            raise InputError("no validation score")
    except FolderTaken:
        raise
    except Exception as fault:
        return SweepResult(folder, overrides, None, cause(fault, folder))
    return SweepResult(folder, overrides, best.value, None, best.monitor, best.mode)


def cause(fault: Exception, folder: Path) -> str:
    """Log why a job failed, with its traceback if it is a bug, and return it on one line."""
    if isinstance(fault, InputError):
        error = str(fault).splitlines()[-1]
    else:
        log.exception("job %s", folder.name)
        error = f"{type(fault).__name__}: {one_line(fault)}"
    log.error("job %s failed: %s", folder.name, error)
    return error
