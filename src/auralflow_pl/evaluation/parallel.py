"""Evaluate tracks in several processes."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.config.relaunch import command_line
from auralflow_pl.config.schema import EvaluateKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.evaluation.evaluator import Evaluation
from auralflow_pl.system.device import device_count, torch_threads
from auralflow_pl.system.processes import process_group, rank, worker_pool, world_size
from auralflow_pl.system.progress import Progress

PARALLEL_SECONDS = 600.0  # seconds of audio above which several processes save time

TRAINER_KEYS = ("accelerator", "devices", "num_nodes")  # keys of `trainer` that evaluation uses


def check_spread(config: DictConfig) -> None:
    """Raise InputError for keys that have no effect on an evaluation with `trainer=ddp`."""
    given = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    for key in (argument.lstrip("+~").partition("=")[0] for argument in given):
        group, _, name = key.partition(".")
        if group == "trainer" and name and name not in TRAINER_KEYS:
            raise InputError(f"{key}: has no meaning here, {did_you_mean(name, TRAINER_KEYS)}")
    if config.jobs is not None:
        raise InputError(f"jobs={config.jobs}: trainer starts the processes; pass one of the two")


def evaluation_processes(config: DictConfig) -> AbstractContextManager[None]:
    """Context that runs the other processes of `trainer=ddp`, with the same keys."""
    if config.trainer is None:
        return nullcontext()
    devices = device_count(config.trainer.get("devices", 1))
    nodes = config.trainer.get("num_nodes", 1)
    return process_group(devices, nodes, command_line("evaluate"))


def compute_distributed(
    work: Evaluation, missing: Sequence[int], paths: Mapping[str, Path]
) -> None:
    """Compute tracks together with the other processes of `trainer=ddp`.

    Each of the n processes begins with every n-th track and then takes tracks that no process has
    begun. A process locks a track while it computes it; the lock is released if the process dies.
    The first process returns when all results exist.

    Args:
        work: the evaluation.
        missing: numbers of the tracks to compute.
        paths: paths of the results by track name.
    """
    (work.output / "tracks").mkdir(parents=True, exist_ok=True)
    mine = missing[rank() :: world_size()]
    order = [*mine, *(number for number in missing if number not in mine)]
    first = rank() == 0
    bar = Progress(total=len(missing), desc="evaluate", unit="track", disable=not first)
    with bar, torch_threads(1):
        for timeout in (0, -1) if first else (0,):
            for number in order:
                track = work.tracks[number]
                path = paths[track.name]
                with suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=timeout):
                    if not path.is_file():
                        work.compute(track)
                bar.update(sum(paths[work.tracks[n].name].is_file() for n in missing) - bar.n)
    if first:
        for path in paths.values():
            with suppress(OSError):  # Windows: another process has it open
                path.with_suffix(".lock").unlink()


def compute_all(work: Evaluation, missing: Sequence[int]) -> None:
    """Compute tracks, in several processes if `jobs` or their total length asks for it.

    Args:
        work: the evaluation.
        missing: numbers of the tracks to compute.

    Raises:
        InputError: a track cannot be read; the other processes end at once.
    """
    seconds = sum(work.tracks[n].frames / work.tracks[n].sample_rate for n in missing)
    jobs = work.config.jobs
    if jobs is None:
        many = seconds > PARALLEL_SECONDS and work.estimates.stft.window.device.type == "cpu"
        jobs = (os.cpu_count() or 1) if many else 1
    jobs = min(jobs, len(missing))
    bar = Progress(total=len(missing), desc="evaluate", unit="track")
    with bar, torch_threads(1):
        if jobs <= 1:
            for number in missing:
                work.compute(work.tracks[number])
                bar.update()
            return
        config = json.dumps(OmegaConf.to_container(work.config))
        with worker_pool(jobs) as pool:
            for job in as_completed([pool.submit(compute_one, config, n) for n in missing]):
                job.result()
                bar.update()


def compute_one(config: str, number: int) -> None:
    """Compute the track with a number in a worker process, from a configuration in JSON."""
    work = cached_evaluation(config)
    with torch_threads(1):  # same rounding in one process and in several
        work.compute(work.tracks[number])


@functools.cache
def cached_evaluation(config: str) -> Evaluation:
    """Evaluation of a configuration in JSON, built once per worker process."""
    return Evaluation(validate(OmegaConf.create(json.loads(config)), EvaluateKeys))
