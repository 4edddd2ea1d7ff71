"""The command `train`: from a configuration to a trained checkpoint in a run folder."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.checkpoint import build_separator, load_checkpoint
from auralflow_pl.config import TrainKeys, build, plain, validated
from auralflow_pl.data.module import StemDataModule
from auralflow_pl.errors import InputError
from auralflow_pl.task import SeparationTask

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train and return the best validation score in dB, which sweeps maximise.

    Raises:
        InputError: a fault in configuration or data; nothing is trained then.
    """
    if HydraConfig.initialized():  # in a sweep, every job has its own folder
        config.paths.run_dir = HydraConfig.get().runtime.output_dir
    config = validated(config, TrainKeys)
    run_dir = Path(config.paths.run_dir)
    quiet(config.silent)
    resume = find_resume(config.resume, run_dir)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    task, data = build_task(config), build_data(config)
    trainer = build(
        config.trainer,
        precision=config.precision.precision,
        callbacks=list(build(config.callbacks or {}).values()),
        logger=list(build(config.logger or {}).values()),
        default_root_dir=str(run_dir),
        log_every_n_steps=max(1, min(config.trainer.log_every_n_steps, data.steps_per_epoch)),
        enable_progress_bar=not config.silent,
        enable_model_summary=False,
    )
    save_config(config, run_dir)
    parameters = sum(p.numel() for p in task.separator.network.parameters())
    log.info("network: %s, %.2f M parameters", config.model["_target_"], parameters / 1e6)
    log.info("run folder: %s", run_dir)
    for logger in trainer.loggers:
        logger.log_hyperparams(plain(config))
    trainer.fit(task, datamodule=data, ckpt_path=resume, weights_only=True)
    return report(trainer, run_dir)


def build_task(config: DictConfig) -> SeparationTask:
    """Network, Separator, loss, optimizer and schedule of a configuration."""
    settings = plain(config)
    separator = build_separator(
        settings, settings["data"]["stems"], trust=None, **settings["separation"]
    )
    return SeparationTask(
        separator,
        build(config.loss),
        settings["data"]["stems"],
        build(config.optimizer),
        build(config.scheduler),
        settings,
        config.precision.channels_last,
    )


def build_data(config: DictConfig) -> StemDataModule:
    """The data module of a configuration."""
    settings = plain(config.data)
    loading = {
        k: v for k, v in settings.items() if k not in ("source", "root", "stems", "max_tracks")
    }
    return StemDataModule(
        build(config.data.source),
        config.audio.channels,
        config.audio.sample_rate,
        config.chunk_seconds,
        seed=config.seed,
        **loading,
    )


def find_resume(resume: str | None, run_dir: Path) -> str | None:
    """The checkpoint to go on from: a path, `auto` for the last one of the run folder, or none."""
    checkpoints = run_dir / "checkpoints"
    if resume is None:
        if any(checkpoints.glob("*.ckpt")):
            raise InputError(
                f"paths.run_dir={run_dir}: holds a run already; pass resume=auto to go on with it, "
                "or choose another folder"
            )
        return None
    last = checkpoints / "last.ckpt"
    if resume == "auto" and not last.is_file():
        log.info("resume=auto: no %s yet, starting from the beginning", last)
        return None
    path = last if resume == "auto" else Path(resume)
    load_checkpoint(path)  # a clear message now, rather than Lightning's later
    return str(path)


def save_config(config: DictConfig, run_dir: Path) -> None:
    """Print the resolved configuration, and save it in the run folder."""
    text = OmegaConf.to_yaml(config)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "config.yaml").write_text(text)
    except OSError as error:
        raise InputError(f"paths.run_dir={run_dir}: cannot be written: {error.strerror}") from error
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
