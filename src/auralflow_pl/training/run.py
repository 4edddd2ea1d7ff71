"""Run one training and return its best score."""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.names import literal
from auralflow_pl.config.relaunch import command_line
from auralflow_pl.config.schema import TrainKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, one_line, os_reason
from auralflow_pl.system.device import device_count
from auralflow_pl.system.heap import keep_freed_memory
from auralflow_pl.system.processes import TIME_REFERENCE, check_run_dir, process_group, rank
from auralflow_pl.system.signals import restoring
from auralflow_pl.training.build import build_data, build_task, build_trainer, choose_precision
from auralflow_pl.training.claim import claimed_folder
from auralflow_pl.training.resuming import find_resume

log = logging.getLogger(__name__)


def train_run(config: DictConfig) -> float:
    """Train a network and return the best validation score in dB.

    A run folder with a time in its name gets a number if another training has this name.

    Raises:
        FolderTaken: another process trains in the run folder.
        InputError: the configuration or the data is invalid, or training fails.
        SystemExit: a signal ended the training.
    """
    written = OmegaConf.to_container(config)["paths"]["run_dir"]
    check_run_dir(written)
    checked = validate(config, TrainKeys)
    wanted = Path(checked.paths.run_dir)
    with claimed_folder(wanted, numbered=TIME_REFERENCE in written) as run_dir:
        if run_dir != wanted:
            config = config.copy()
            config.paths.run_dir = literal(str(run_dir))
            checked = validate(config, TrainKeys)
        return train_in_folder(checked, run_dir)


def train_in_folder(config: DictConfig, run_dir: Path) -> float:
    """Train with a checked configuration in a run folder that is claimed; see `train_run`."""
    choose_precision(config)
    quiet_libraries(config.silent or rank() > 0)
    resume, step = find_resume(config, run_dir)
    keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    task = build_task(config)
    with log_file(run_dir / "train.log"), training_processes(config):
        save_config(config, run_dir)
        trainer = build_trainer(config)
        for logger in trainer.loggers:
            logger.resume(step)
            if step == 0:
                logger.log_hyperparams(to_plain(config))
        try:
            with restoring("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"):  # Lightning does not always
                trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
        except MisconfigurationException as error:
            raise InputError(f"trainer: {one_line(error)}") from error
        except SIGTERMException:
            log.info("ended by SIGTERM")
            raise SystemExit(128 + signal.SIGTERM) from None
        finally:
            data.close()
        return report_best(trainer, run_dir)


def training_processes(config: DictConfig) -> contextlib.AbstractContextManager[None]:
    """Context that runs the other processes of `trainer=ddp`, with the same keys and run folder."""
    devices = device_count(config.trainer.get("devices", 1))
    own = [f"paths.run_dir={config.paths.run_dir}", f"resume={config.resume or 'null'}"]
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


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Save the resolved configuration in the run folder, and print it; first process only."""
    if rank() > 0:
        return
    text = OmegaConf.to_yaml(config)
    (run_dir / "config.yaml").write_text(text)
    if config.print_config and not config.silent:
        print(text)


def quiet_libraries(silent: bool) -> None:
    """Limit the log of Lightning to warnings, and with `silent` also that of this package."""
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
    # `find_resume` has already rejected a run folder with another run.
    warnings.filterwarnings("ignore", ".*exists and is not empty")


def report_best(trainer: pl.Trainer, run_dir: Path) -> float:
    """Log and return the score of the best checkpoint, or else of the last epoch, in dB."""
    best = trainer.checkpoint_callback
    score = getattr(best, "best_model_score", None)
    if score is None:
        score = trainer.callback_metrics.get("val/si_sdr", float("nan"))
    path = getattr(best, "best_model_path", "") or run_dir
    log.info("best validation score %.2f dB: %s", float(score), path)
    return float(score)
