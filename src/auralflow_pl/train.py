"""The command `train`: from a configuration to a trained checkpoint in a run folder."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException
from torch import nn

from auralflow_pl.checkpoint import build_separator
from auralflow_pl.config import TrainKeys, build, plain, validated
from auralflow_pl.datamodule import build_data
from auralflow_pl.device import computes_in_bfloat16, device_count, keep_freed_memory
from auralflow_pl.errors import InputError
from auralflow_pl.processes import check_run_dir, process_group, rank, world_size
from auralflow_pl.resuming import find_resume
from auralflow_pl.saving import AtomicCheckpointIO
from auralflow_pl.sweep import Job, finished_before, save_result, values
from auralflow_pl.task import SeparationTask

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train and return the best validation score in dB, which sweeps maximise.

    In a sweep every job has its own run folder, which holds its result. A job that has one is not
    run again, one that was interrupted goes on, and one that fails leaves the others alone.

    Raises:
        InputError: a fault in configuration or data; nothing is trained then.
    """
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return train_run(config)
    folder = Path(HydraConfig.get().runtime.output_dir)
    overrides = values(HydraConfig.get().overrides.task)
    if before := finished_before(folder, overrides):
        log.info("%s: finished before, %.2f dB", folder, before.score)
        return before.score
    config.paths.run_dir = str(folder)
    if any((folder / "checkpoints").glob("*.ckpt")):
        config.resume = "auto"
    score, error = None, None
    try:
        score = train_run(config)
        if not math.isfinite(score):
            score, error = None, "no validation score"
    except InputError as fault:
        error = str(fault).splitlines()[-1]
    except Exception as fault:
        log.exception("job %s", folder.name)
        error = f"{type(fault).__name__}: {' '.join(str(fault).split())}"
    if error:
        log.error("job %s failed: %s", folder.name, error)
    save_result(Job(folder, overrides, score, error))
    return float("nan") if score is None else score


def train_run(config: DictConfig) -> float:
    """Train one network; returns the best validation score in dB.

    Raises:
        InputError: a fault in configuration or data; nothing is trained then.
    """
    check_run_dir(OmegaConf.to_container(config)["paths"]["run_dir"])
    config = validated(config, TrainKeys)
    choose_precision(config)
    run_dir = Path(config.paths.run_dir)
    quiet(config.silent or rank() > 0)
    resume, step = find_resume(config, run_dir)
    keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    task = build_task(config)
    with log_file(run_dir / "train.log"), all_processes(config):
        save_config(config, run_dir)
        trainer = build_trainer(config)
        for logger in trainer.loggers:
            logger.resume(step)
            if step == 0:
                logger.log_hyperparams(plain(config))
        try:
            trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
        except MisconfigurationException as error:
            raise InputError(f"trainer: {' '.join(str(error).split())}") from error
        except SIGTERMException:
            log.info("ended by SIGTERM")
            raise SystemExit(128 + signal.SIGTERM) from None
        return report(trainer, run_dir)


def all_processes(config: DictConfig) -> contextlib.AbstractContextManager[None]:
    """Starts the other processes of `trainer=ddp`, with the same keys and the same run folder."""
    devices = device_count(config.trainer.get("devices", 1))
    keys = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    own = [f"paths.run_dir={config.paths.run_dir}", f"resume={config.resume or 'null'}"]
    command = [sys.executable, "-m", "auralflow_pl", "train", *keys, *own, "print_config=false"]
    return process_group(devices, config.trainer.get("num_nodes", 1), command)


def build_trainer(config: DictConfig) -> pl.Trainer:
    """The Lightning Trainer of a configuration.

    Raises:
        InputError: a key that another group sets, or one that Lightning refuses.
    """
    chunks = config.data.chunks_per_epoch // world_size()  # of each device
    steps = math.ceil(chunks / config.data.batch_size)
    given = {
        **number_format(config),
        "callbacks": list(build(config.callbacks or {}).values()),
        "logger": list(build(config.logger or {}).values()) if rank() == 0 else [],
        "default_root_dir": config.paths.run_dir,
        "log_every_n_steps": max(1, min(config.trainer.log_every_n_steps or 50, steps)),
        "enable_progress_bar": not config.silent,
        "enable_model_summary": False,
    }
    given["plugins"] = [*given.get("plugins", []), AtomicCheckpointIO()]
    if SLURMEnvironment.detect():  # whoever submitted the job also queues it again
        given["plugins"].append(SLURMEnvironment(auto_requeue=False))
    for key in set(given) & set(config.trainer) - {"log_every_n_steps"}:
        raise InputError(f"trainer.{key}: is set by another key; see train.py --cfg job")
    return build(config.trainer, **given)


def choose_precision(config: DictConfig) -> None:
    """Replace `precision=auto` by what this hardware is good at."""
    if config.precision.precision == "auto":
        fast = computes_in_bfloat16(config.trainer.accelerator)
        config.precision.precision = "bf16-mixed" if fast else "32-true"


def number_format(config: DictConfig) -> dict[str, Any]:
    """The arguments of the Trainer for `precision`; Lightning has no fp16 on the CPU by itself."""
    precision = config.precision.precision
    if precision != "16-mixed":
        return {"precision": precision}
    cpu = config.trainer.accelerator == "cpu" or not torch.cuda.is_available()
    device = "cpu" if cpu else "cuda"
    scaler = torch.amp.GradScaler(device, init_scale=config.precision.init_scale or 2.0**16)
    return {"plugins": [MixedPrecision(precision, device, scaler)]}


def build_task(config: DictConfig) -> SeparationTask:
    """Network, Separator, loss, optimizer and schedule of a configuration."""
    settings = plain(config)
    separator = build_separator(
        settings, settings["data"]["stems"], trust=None, **settings["separation"]
    )
    optimizer, schedule = build(config.optimizer), build(config.scheduler)
    rehearse(separator, optimizer, schedule)
    if config.compile:
        compile_network(separator.network)
    return SeparationTask(
        separator,
        {name: build(node) for name, node in config.loss.items()},
        settings["data"]["stems"],
        optimizer,
        schedule,
        settings,
        config.precision.channels_last,
        settings["loss_weights"],
        dict(build(config.metrics or {})),
    )


def compile_network(network: nn.Module) -> None:
    """Let torch.compile fuse the network's operations; its weights keep their names.

    Raises:
        InputError: there is no C++ compiler, which torch needs for that on the CPU.
    """
    if not torch.cuda.is_available() and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise InputError("compile=true: needs a C++ compiler; install g++, or use compile=false")
    network.compile(dynamic=False)


def rehearse(
    network: nn.Module, optimizer: Callable[..., Any], schedule: Callable[..., Any] | None
) -> None:
    """Raise InputError if optimizer or schedule refuse their arguments, before work begins."""
    try:
        trial = optimizer(network)
        if schedule is not None:
            schedule(trial, 1)
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer or scheduler: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Copy what the first process logs into a file.

    Raises:
        InputError: the folder cannot be written.
    """
    if rank() > 0:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path)
    except OSError as error:
        raise InputError(
            f"paths.run_dir={path.parent}: cannot be written: {error.strerror}"
        ) from error
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Print the resolved configuration, and save it in the run folder, once."""
    if rank() > 0:
        return
    text = OmegaConf.to_yaml(config)
    (run_dir / "config.yaml").write_text(text)
    if config.print_config and not config.silent:
        print(text)


def quiet(silent: bool) -> None:
    """Leave Lightning its warnings only, and ourselves too, if that is wanted."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        for logger in (name, f"{name}.utilities.rank_zero"):
            logging.getLogger(logger).setLevel(logging.WARNING)
    logging.getLogger("auralflow_pl").setLevel(logging.WARNING if silent else logging.NOTSET)
    # Lightning 2.6 asks for this with torch 2.14 itself; a user can do nothing about it.
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated", module="pytorch_lightning")
    # Whether to use SLURM is for the user to say.
    warnings.filterwarnings("ignore", "The `srun` command is available")
    # The task averages losses over devices, and every device validates all tracks.
    warnings.filterwarnings("ignore", ".*sync_dist=True")
    # A run folder that holds a run is refused before, unless it is to be resumed.
    warnings.filterwarnings("ignore", ".*exists and is not empty")


def report(trainer: pl.Trainer, run_dir: Path) -> float:
    """Say where the result is; return the score of the best checkpoint, or of the last epoch."""
    best = trainer.checkpoint_callback
    score = getattr(best, "best_model_score", None)
    if score is None:
        score = trainer.callback_metrics.get("val/si_sdr", float("nan"))
    path = getattr(best, "best_model_path", "") or run_dir
    log.info("best validation score %.2f dB: %s", float(score), path)
    return float(score)
