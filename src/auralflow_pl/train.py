"""The command `train`: from a configuration to a trained checkpoint in a run folder."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from auralflow_pl.checkpoint import build_separator, load_checkpoint
from auralflow_pl.config import TrainKeys, build, plain, validated
from auralflow_pl.data.module import StemDataModule
from auralflow_pl.datamodule import build_data
from auralflow_pl.device import keep_freed_memory
from auralflow_pl.errors import InputError
from auralflow_pl.task import SeparationTask

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train and return the best validation score in dB, which sweeps maximise.

    Raises:
        InputError: a fault in configuration or data; nothing is trained then.
    """
    if HydraConfig.initialized() and HydraConfig.get().mode is RunMode.MULTIRUN:
        config.paths.run_dir = HydraConfig.get().runtime.output_dir  # every job has its own folder
    config = validated(config, TrainKeys)
    run_dir = Path(config.paths.run_dir)
    quiet(config.silent)
    resume = find_resume(config, run_dir)
    keep_freed_memory()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    task = build_task(config)
    with log_file(run_dir / "train.log"):
        save_config(config, run_dir)
        trainer = build_trainer(config, data)
        for logger in trainer.loggers:
            logger.log_hyperparams(plain(config))
        parameters = sum(p.numel() for p in task.separator.network.parameters())
        log.info("network: %s, %.2f M parameters", config.model["_target_"], parameters / 1e6)
        log.info("run folder: %s", run_dir)
        try:
            trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
        except MisconfigurationException as error:
            raise InputError(f"trainer: {' '.join(str(error).split())}") from error
        return report(trainer, run_dir)


def build_trainer(config: DictConfig, data: StemDataModule) -> pl.Trainer:
    """The Lightning Trainer of a configuration.

    Raises:
        InputError: a key that another group sets, or one that Lightning refuses.
    """
    given = {
        "precision": config.precision.precision,
        "callbacks": list(build(config.callbacks or {}).values()),
        "logger": list(build(config.logger or {}).values()),
        "default_root_dir": config.paths.run_dir,
        "log_every_n_steps": max(
            1, min(config.trainer.log_every_n_steps or 50, data.steps_per_epoch)
        ),
        "enable_progress_bar": not config.silent,
        "enable_model_summary": False,
    }
    for key in set(given) & set(config.trainer) - {"log_every_n_steps"}:
        raise InputError(f"trainer.{key}: is set by another key; see train.py --cfg job")
    return build(config.trainer, **given)


def build_task(config: DictConfig) -> SeparationTask:
    """Network, Separator, loss, optimizer and schedule of a configuration."""
    settings = plain(config)
    separator = build_separator(
        settings, settings["data"]["stems"], trust=None, **settings["separation"]
    )
    optimizer, schedule = build(config.optimizer), build(config.scheduler)
    rehearse(optimizer, schedule)
    return SeparationTask(
        separator,
        {name: build(node) for name, node in config.loss.items()},
        settings["data"]["stems"],
        optimizer,
        schedule,
        settings,
        config.precision.channels_last,
        settings["loss_weights"],
    )


def rehearse(optimizer: Callable[..., Any], schedule: Callable[..., Any] | None) -> None:
    """Raise InputError if optimizer or schedule refuse their arguments, before work begins."""
    try:
        trial = optimizer([torch.nn.Parameter(torch.zeros(1))])
        if schedule is not None:
            schedule(trial, 1)
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer or scheduler: {' '.join(str(error).split())}") from error


def find_resume(config: DictConfig, run_dir: Path) -> str | None:
    """The checkpoint to go on from: a path, `auto` for the last one of the run folder, or none.

    Raises:
        InputError: the run folder holds another run, or a run of another configuration.
    """
    checkpoints = run_dir / "checkpoints"
    holds_run = any(checkpoints.glob("*.ckpt"))
    last = checkpoints / "last.ckpt"
    if config.resume == "auto" and not last.is_file():
        log.info("resume=auto: no %s yet, starting from the beginning", last)
        return None
    path = last if config.resume == "auto" else Path(config.resume or "")
    if holds_run and (config.resume is None or checkpoints.resolve() not in path.resolve().parents):
        raise InputError(
            f"paths.run_dir={run_dir}: holds a run already; pass resume=auto to go on with it, "
            "or choose another folder"
        )
    if config.resume is None:
        return None
    check_same_run(plain(config), path)
    return str(path)


def check_same_run(config: Mapping[str, Any], path: Path) -> None:
    """Raise InputError unless a checkpoint is of a run that `config` can go on with."""
    saved = load_checkpoint(path, "resume").config
    for key in ("model", "target", "stft", "audio", "optimizer", "scheduler"):
        here, there = config.get(key), saved.get(key)
        if key in ("optimizer", "scheduler"):  # their numbers may change, their kind may not
            here, there = ((node or {}).get("_target_") for node in (here, there))
        if here != there:
            raise InputError(
                f"resume={path}: its {key} differs from this configuration ({there} there, {here} "
                "here); use the same keys, or another paths.run_dir"
            )


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Copy what is logged into a file.

    Raises:
        InputError: the folder cannot be written.
    """
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
    """Print the resolved configuration, and save it in the run folder."""
    text = OmegaConf.to_yaml(config)
    (run_dir / "config.yaml").write_text(text)
    if config.print_config and not config.silent:
        print(text)


def quiet(silent: bool) -> None:
    """Leave Lightning its warnings only, and ourselves too, if that is wanted."""
    for name in ("pytorch_lightning", "lightning_fabric", *(["auralflow_pl"] if silent else [])):
        for logger in (name, f"{name}.utilities.rank_zero"):
            logging.getLogger(logger).setLevel(logging.WARNING)
    # Lightning 2.6 asks for this with torch 2.14 itself; a user can do nothing about it.
    warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated", module="pytorch_lightning")
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
