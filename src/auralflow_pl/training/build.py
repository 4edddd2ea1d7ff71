"""Build task, data module and Trainer from a configuration."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from torch import nn

from auralflow_pl.config.instantiate import build, to_plain
from auralflow_pl.config.monitors import choose_directions, monitoring_nodes
from auralflow_pl.data.sampling import SamplingOptions
from auralflow_pl.data.spans import MarkedSpans
from auralflow_pl.data.targets import resolve_targets
from auralflow_pl.errors import InputError, did_you_mean, one_line
from auralflow_pl.separator.build import new_separator
from auralflow_pl.system.processes import rank, world_size
from auralflow_pl.system.progress import is_redrawn
from auralflow_pl.training.callbacks.progress import LogProgress
from auralflow_pl.training.checkpoint_io import AtomicCheckpointIO
from auralflow_pl.training.data_module import StemDataModule
from auralflow_pl.training.start.freezing import choose_trained
from auralflow_pl.training.start.resume_changes import ResumeChanges
from auralflow_pl.training.task import SeparationTask

log = logging.getLogger(__name__)

LOADING_KEYS = (  # keys of `data` that are arguments of `StemDataModule`
    "chunks_per_epoch",
    "batch_size",
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "prefetch_factor",
)

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def build_data(config: DictConfig) -> StemDataModule:
    """Build the data module of a configuration.

    Raises:
        InputError: unknown targets, or `data.stems` differs from the stems of the data set.
    """
    settings = to_plain(config.data)
    loading = {key: settings[key] for key in LOADING_KEYS}
    targets = resolve_targets(to_plain(config)["target"], settings["stems"], settings["groups"])
    source = build(config.data.source)
    if list(source.stems) != settings["stems"]:
        raise InputError(
            f"data.stems={settings['stems']}: this data set has {list(source.stems)}, in that order"
        )
    return StemDataModule(
        source,
        config.audio.channels,
        config.audio.sample_rate,
        config.chunk_seconds,
        seed=config.seed,
        pool=build(config.pool),
        augmentations=list(build(config.augment or {}).values()),
        drawing=SamplingOptions(
            settings["balance"],
            settings["silence_db"],
            settings["keep_silent"],
            tuple(stem for members in targets.values() for stem in members),
            dict(source.weights),
            settings["balance_by"],
            settings["schedule"] or {},
            None if settings["spans"] is None else MarkedSpans.read(Path(settings["spans"])),
        ),
        groups=settings["groups"],
        **loading,
    )


def build_trainer(config: DictConfig) -> pl.Trainer:
    """Build the Lightning Trainer of a configuration.

    Raises:
        InputError: Lightning rejects an argument.
    """
    bare = bool(config.trainer.get("barebones"))
    if bare:
        log.info("trainer.barebones: no callbacks, no loggers; nothing is saved, no score is kept")
    given = {
        **trainer_precision(config),
        **trainer_profiler(config),
        "callbacks": [] if bare else list(build(config.callbacks or {}).values()),
        "logger": [] if bare or rank() > 0 else list(build(config.logger or {}).values()),
        "default_root_dir": config.paths.run_dir,
        "log_every_n_steps": 0 if bare else logging_steps(config),
        "enable_progress_bar": not (bare or config.silent),
        "enable_model_summary": False,
    }
    given["logger"] = given["logger"] or False  # Lightning's word for none
    saved = any(isinstance(callback, Checkpoint) for callback in given["callbacks"])
    given["enable_checkpointing"] = saved  # else Lightning saves some without being asked
    if not (saved or bare):
        log.info("callbacks: none writes checkpoints, so no weights are saved")
    given["callbacks"].append(ResumeChanges())
    given["plugins"] = [*given.get("plugins", []), AtomicCheckpointIO()]
    if SLURMEnvironment.detect():  # requeuing is left to the launcher
        given["plugins"].append(SLURMEnvironment(auto_requeue=False))
    own = any(isinstance(callback, ProgressBar) for callback in given["callbacks"])
    if given["enable_progress_bar"] and not (own or is_redrawn(sys.stdout)):
        given["callbacks"].append(LogProgress())
    return build(config.trainer, **given)


def logging_steps(config: DictConfig) -> int:
    """Optimizer steps from one record to the next, at most an epoch; 0: no records."""
    every = config.trainer.log_every_n_steps
    chunks = config.data.chunks_per_epoch // world_size()  # per device
    steps = math.ceil(chunks / config.data.batch_size)
    return max(1, min(50 if every is None else every, steps)) if every != 0 else 0


def trainer_profiler(config: DictConfig) -> dict[str, Any]:
    """Arguments of the Trainer for a profiler given by its name; it writes to the run folder."""
    kind = PROFILERS.get(config.trainer.get("profiler"))
    return {"profiler": kind(config.paths.run_dir, "profile")} if kind else {}


def check_monitors(config: DictConfig, task: SeparationTask, trainer: pl.Trainer) -> None:
    """Check before training that every metric which something monitors is logged.

    Callbacks of one's own name the metrics that they log in the attribute `logged`.

    Raises:
        InputError: a metric is not logged.
    """
    own = (name for callback in trainer.callbacks for name in getattr(callback, "logged", ()))
    names = [*task.logged_names(), *own]
    for key, node in monitoring_nodes(config):
        if node.monitor not in names:
            raise InputError(
                f"{key}.monitor={node.monitor}: is not logged; {did_you_mean(node.monitor, names)}"
            )


def trainer_precision(config: DictConfig) -> dict[str, Any]:
    """Arguments of the Trainer for `precision`; fp16 needs a plugin, also to work on the CPU."""
    precision = config.precision.precision
    if precision != "16-mixed":
        return {"precision": precision}
    cpu = config.trainer.accelerator == "cpu" or not torch.cuda.is_available()
    device = "cpu" if cpu else "cuda"
    if cpu and rank() == 0:
        log.warning(
            "precision=fp16: a CPU computes float16 slowly, up to 20 times slower than fp32; use "
            "precision=auto"
        )
    scaler = torch.amp.GradScaler(device, init_scale=config.precision.init_scale or 2.0**16)
    return {"plugins": [MixedPrecision(precision, device, scaler)]}


def build_task(config: DictConfig) -> SeparationTask:
    """Build the training task of a configuration, with Separator, losses, optimizer and schedule.

    Sets each `mode=auto` in the configuration to the direction of its metric.

    Raises:
        InputError: a part cannot be built, or optimizer or schedule reject their arguments.
    """
    choose_directions(config)
    settings = to_plain(config)
    separator = new_separator(
        settings, settings["data"]["stems"], trust=None, **settings["separation"]
    )
    choose_trained(separator.network, settings.get("freeze"), settings.get("lora"))
    optimizer, schedule = build(config.optimizer), build(config.scheduler)
    check_optimizer(separator.network, optimizer, schedule)
    if config.compile:
        compile_network(separator.network, config.trainer.accelerator)
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
        settings.get("val_chunks", 0),
        config.chunk_seconds,
        settings.get("log_step_loss", True),
        settings.get("log_epoch_loss", True),
        settings.get("loss_truncation", 0.0),
    )


def compile_network(network: nn.Module, accelerator: str = "auto") -> None:
    """Compile a network in place with torch.compile; its weights keep their names.

    Args:
        network: the network.
        accelerator: `cpu` if it is trained on the CPU even if there is a GPU.

    Raises:
        InputError: there is no C++ compiler, which torch.compile needs on the CPU, or no C
            compiler, which Triton needs on a GPU.
    """
    on_gpu = accelerator != "cpu" and torch.cuda.is_available()
    language, names = ("C", ("gcc", "clang")) if on_gpu else ("C++", ("g++", "clang++", "c++"))
    chosen = os.environ.get("CC" if on_gpu else "CXX")
    if not any(map(shutil.which, (*names, *([chosen] if chosen else [])))):
        raise InputError(
            f"compile=true: needs a {language} compiler; install {names[0]}, or use compile=false"
        )
    network.compile(dynamic=False)


def check_optimizer(
    network: nn.Module, optimizer: Callable[..., Any], schedule: Callable[..., Any] | None
) -> None:
    """Raise InputError if optimizer or schedule reject their arguments, before training begins."""
    try:
        trial = optimizer(network)
        if schedule is not None:
            schedule(trial, 1)
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer or scheduler: {one_line(error)}") from error
