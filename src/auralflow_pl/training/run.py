"""Run one training and return its best score."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LambdaCallback
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.monitors import SCORE
from auralflow_pl.config.names import with_run_dir
from auralflow_pl.config.relaunch import command_line
from auralflow_pl.config.schema import TrainKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, one_line, os_reason
from auralflow_pl.system.device import device_count
from auralflow_pl.system.files import write_text
from auralflow_pl.system.heap import keep_freed_memory
from auralflow_pl.system.memory import is_memory_shortage
from auralflow_pl.system.processes import TIME_REFERENCE, check_run_dir, process_group, rank
from auralflow_pl.system.progress import Progress
from auralflow_pl.system.signals import restoring
from auralflow_pl.training.build import (
    build_data,
    build_task,
    build_trainer,
    check_monitors,
    choose_directions,
)
from auralflow_pl.training.start.claim import claimed_folder
from auralflow_pl.training.start.precision import choose_precision
from auralflow_pl.training.start.resuming import find_resume
from auralflow_pl.training.start.warm_start import warm_start

log = logging.getLogger(__name__)


class BestScore(NamedTuple):
    """The best value of a training."""

    value: float  # in the unit of the metric; NaN without a validation
    monitor: str  # name of the metric
    mode: str  # `max` if higher is better, `min` if lower is better


def train_run(config: DictConfig) -> float:
    """Train a network and return the best value of the metric of its best checkpoint.

    It is the validation score in dB, unless `callbacks.best_checkpoint.monitor` is another metric.
    Raises what `train_best` raises.
    """
    return train_best(config).value


def train_best(config: DictConfig) -> BestScore:
    """Train a network and return the best value of the metric of its best checkpoint.

    A run folder with a time in its name gets a number if another training has this name.

    Raises:
        FolderTaken: another process trains in the run folder.
        InputError: the configuration or the data is invalid, or training fails.
        SystemExit: a signal ended the training.
    """
    written = OmegaConf.to_container(config)["paths"]["run_dir"]
    check_run_dir(written)
    config = validate(config, TrainKeys)
    if config.trainer.get("fast_dev_run"):
        if config.resume not in (None, "auto"):
            raise InputError(
                f"resume={config.resume}: trainer.fast_dev_run starts from the beginning; pass "
                "one of the two"
            )
        with tempfile.TemporaryDirectory(prefix="auralflow-") as folder:
            return train_in_folder(with_run_dir(config, folder))
    wanted = Path(config.paths.run_dir)
    with claimed_folder(wanted, numbered=TIME_REFERENCE in written) as run_dir:
        return train_in_folder(config if run_dir == wanted else with_run_dir(config, str(run_dir)))


def train_in_folder(config: DictConfig) -> BestScore:
    """Train with a validated configuration in its run folder; see `train_best`."""
    run_dir = Path(config.paths.run_dir)
    choose_directions(config)
    quiet_libraries(config.silent or rank() > 0)
    resume, step = find_resume(config, run_dir)
    keep_freed_memory()
    choose_precision(config, resume)
    if config.lora.rank and config.init is None and resume is None:
        raise InputError(
            f"lora.rank={config.lora.rank}: changes a trained model, whose weights stay as they "
            "are; pass init=<model>"
        )
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    task = build_task(config)
    with log_file(run_dir / "train.log"), training_processes(config):
        if config.init is not None and resume is None:
            warm_start(task.separator.network, to_plain(config))
        if rank() == 0 and config.print_config and not config.silent:
            print(OmegaConf.to_yaml(config))
        trainer = build_trainer(config)
        check_monitors(config, task, trainer)
        # a training that fails before its first step leaves the configuration of the one before
        trainer.callbacks.append(LambdaCallback(on_train_start=lambda *_: save_config(config)))
        for logger in trainer.loggers:
            logger.resume(step)
            if step == 0:
                logger.log_hyperparams(to_plain(config))
        try:
            with restoring("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"):  # Lightning does not always
                trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
        except MisconfigurationException as error:
            raise InputError(f"trainer: {one_line(error)}") from error
        except (RuntimeError, MemoryError) as error:
            if not is_memory_shortage(error):
                raise
            raise InputError(
                "the memory does not suffice; lower data.batch_size, chunk_seconds or the size of "
                f"the model{memory_detail(error)}"
            ) from error
        except SIGTERMException:
            log.info("ended by SIGTERM")
            raise SystemExit(128 + signal.SIGTERM) from None
        finally:
            data.close()
        return report_best(trainer, run_dir)


def memory_detail(error: BaseException) -> str:
    """How much memory was missing, if an out-of-memory error tells, to be put behind a message."""
    wanted = re.search(r"allocate ([\d.]+ \w+)", str(error))
    return f" ({wanted[1]} more were asked for)" if wanted else ""


def training_processes(config: DictConfig) -> contextlib.AbstractContextManager[None]:
    """Context that runs the other processes of `trainer=ddp`, with the same keys and run folder."""
    devices = device_count(config.trainer.get("devices", 1))
    own = [f"paths.run_dir={config.paths.run_dir}", f"resume={config.resume or 'null'}"]
    own.append(f"precision.precision={config.precision.precision}")  # which only one measures
    command = command_line("train", *own, "print_config=false")
    return process_group(devices, config.trainer.get("num_nodes", 1), command)


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Copy the log of the first process to a file within the block.

    Raises:
        InputError: the folder cannot be written.
    """
    if rank() > 0:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    except OSError as error:
        raise InputError(
            f"paths.run_dir={path.parent}: cannot be written: {os_reason(error)}"
        ) from error
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def save_config(config: DictConfig) -> None:
    """Save the resolved configuration in the run folder; first process only."""
    if rank() == 0:
        write_text(Path(config.paths.run_dir) / "config.yaml", OmegaConf.to_yaml(config))


def quiet_libraries(silent: bool) -> None:
    """Limit the log of Lightning to warnings, and with `silent` also that of this package.

    `silent` also hides the bars that show how data are prepared.
    """
    Progress.hidden = silent
    for name in ("pytorch_lightning", "lightning_fabric"):
        for logger in (name, f"{name}.utilities.rank_zero"):
            logging.getLogger(logger).setLevel(logging.WARNING)
    logging.getLogger("auralflow_pl").setLevel(logging.WARNING if silent else logging.NOTSET)
    # Lightning 2.6 causes this with torch 2.14; users cannot avoid it.
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated", module="pytorch_lightning")
    # The user decides whether to use SLURM.
    warnings.filterwarnings("ignore", "The `srun` command is available")
    # The task averages losses over devices, and every device validates all tracks.
    warnings.filterwarnings("ignore", ".*sync_dist=True")
    # Without a validation there is no score, which `report_best` tells.
    warnings.filterwarnings("ignore", ".*could not find the monitored key")
    # `trainer.barebones` logs nothing, which is told.
    warnings.filterwarnings("ignore", "You are trying to `self.log")
    # Frozen parts are meant to be in evaluation mode.
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training")
    # `find_resume` has already rejected a run folder with another run.
    warnings.filterwarnings("ignore", ".*exists and is not empty")


def report_best(trainer: pl.Trainer, run_dir: Path) -> BestScore:
    """Log and return the value of the best checkpoint, or else the last score in dB."""
    for stopping in trainer.early_stopping_callbacks:
        if stopping.stopping_reason_message and trainer.should_stop:
            log.info("early stopping: %s", stopping.stopping_reason_message)
    best = trainer.checkpoint_callback
    value = getattr(best, "best_model_score", None)
    monitor, mode = (SCORE, "max") if value is None else (best.monitor, best.mode)
    value = float(trainer.callback_metrics.get(monitor, "nan") if value is None else value)
    path = getattr(best, "best_model_path", "") or run_dir
    if trainer.fast_dev_run:
        log.info("trainer.fast_dev_run: all parts ran (%s %.4g); nothing was kept", monitor, value)
    elif not math.isfinite(value):
        log.info(
            "no validation score, as no epoch was validated (trainer.limit_val_batches, "
            "trainer.check_val_every_n_epoch, trainer.barebones): %s",
            path,
        )
    elif monitor == SCORE:
        log.info("best validation score %.2f dB: %s", value, path)
    else:
        log.info("best %s %.4g: %s", monitor, value, path)
    return BestScore(value, monitor, mode)
