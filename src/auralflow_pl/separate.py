"""The command `separate`: stems of files, wherever they are."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig

from auralflow_pl.audio.staging import check_writable
from auralflow_pl.audio.stems import CLIPS
from auralflow_pl.audio.writing import FLOAT_WAV, choose_encoding
from auralflow_pl.catalogue import Job, Template, choose_shard, find_jobs
from auralflow_pl.checkpoint import BUNDLED, load_separator
from auralflow_pl.config import SeparateKeys, plain, validated
from auralflow_pl.device import choose_devices, share_one_heap
from auralflow_pl.engine import choose_engine, engine_of
from auralflow_pl.errors import Cancelled, InputError, did_you_mean
from auralflow_pl.memory import fit_memory, is_shortage
from auralflow_pl.pretrained import located
from auralflow_pl.progress import Progress
from auralflow_pl.stem_job import Options, Pipe, StemJob
from auralflow_pl.stem_job import Progress as Follower
from auralflow_pl.stem_report import Model, model_digest

log = logging.getLogger(__name__)

PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PCM_NAMES = {"16": "s16le", "24": "s24le", "float": "f32le"}
MODEL_SUFFIXES = (".ckpt", ".onnx", ".zip")
PATIENCE_SECONDS = 0.2  # between looks at a silent pipe


def separate(config: DictConfig) -> None:
    """Separate everything that `input` means, or a share of it, and print what was done.

    Raises:
        InputError: nothing can be separated; or, after all other files are done, some could not.
    """
    config = validated(config, SeparateKeys)
    share_one_heap()
    options, template = build_options(config)
    everything = find_jobs(plain(config)["input"], template)
    jobs = choose_shard(everything, config.shard)
    check_writable(template.base)
    stem_jobs = []
    for device in choose_devices(plain(config)["device"]):
        models = load_models(config, device)
        if config.max_ram is not None:
            fit_memory([model.separator for model in models], config.max_ram)
            limit = {"max_ram": config.max_ram}  # on which the windows depend
            models = [replace(model, settings={**model.settings, **limit}) for model in models]
        stem_jobs.append(StemJob(models, template, options, device, config.plot, config.overwrite))
    check_outputs(everything, stem_jobs[0])
    with terminable():
        run_jobs(stem_jobs, jobs, config.jobs)


def build_options(config: DictConfig) -> tuple[Options, Template]:
    """What is made of a file, and how its parts are called."""
    template = Template.of(config.output)
    form = config.format or template.suffix or "wav"
    if template.suffix not in (None, form):
        raise InputError(f"output={config.output}: names another format than format={form}")
    pcm = None
    if config.raw.sample_rate is not None:
        if config.raw.subtype not in PCM_NAMES:
            raise InputError(
                f"raw.subtype={config.raw.subtype}: expected one of {', '.join(PCM_NAMES)}"
            )
        pcm = (PCM_NAMES[config.raw.subtype], config.raw.sample_rate, config.raw.channels)
    options = Options(
        config.residual,
        form,
        config.subtype,
        config.clip,
        config.sample_rate,
        config.offset,
        config.duration,
        pcm,
        config.wiener,
    )
    choose_encoding(form, config.subtype, "")
    if config.clip not in CLIPS:
        raise InputError(f"clip={config.clip}: {did_you_mean(config.clip, CLIPS)}")
    return options, template


def check_outputs(jobs: Sequence[Job], stem_job: StemJob) -> None:
    """Raise InputError if a stem would take the place of an input."""
    inputs = {job.path.resolve() for job in jobs if job.path}
    for job in jobs:
        for form in {stem_job.options.format, FLOAT_WAV.form}:
            for final in stem_job.finals(job, form).values():
                if final.resolve() in inputs:
                    raise InputError(
                        f"output={stem_job.template.pattern}: {final} is an input; pass another"
                    )


def load_models(config: DictConfig, device: torch.device) -> list[Model]:
    """The checkpoints of the key `ckpt`: one, several, or all of a folder."""
    settings = plain(config.separation)
    precision = config.precision.precision
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision}: expected fp32, bf16 or fp16")
    known = {key: value for key, value in settings.items() if key != "batch_size"}
    models = []
    for path in checkpoints(config):
        engine = choose_engine(config.engine, device, path)
        separator = load_separator(
            path,
            list(config.trust),
            engine=engine,
            precision=PRECISIONS[precision],
            **settings,
        )
        digest = model_digest(path)
        described = {**known, "precision": precision, "engine": engine_of(separator.network)}
        models.append(Model(str(path), digest, separator.to(device), described))
    return models


def checkpoints(config: DictConfig) -> list[Path]:
    """The files and exported folders that the key `ckpt` means; None: the model in the package.

    Raises:
        InputError: a folder without checkpoints, or a pretrained model that cannot be had.
    """
    ckpt, registries = (plain(config)[key] for key in ("ckpt", "registries"))
    if ckpt is None:
        return [BUNDLED]
    found = []
    for one in [ckpt] if isinstance(ckpt, str) else ckpt:
        path = located(one, registries)
        if not path.is_dir() or is_model(path):
            found.append(path)
            continue
        files = sorted(p for p in path.iterdir() if p.suffix in MODEL_SUFFIXES or is_model(p))
        if not files:
            raise InputError(f"ckpt={path}: no checkpoints in this folder")
        found += files
    if not found:
        raise InputError("ckpt: an empty list; expected checkpoints")
    return found


def is_model(path: Path) -> bool:
    """Whether a folder is a model that export.py made."""
    return (path / "config.json").is_file()


class Outcome(NamedTuple):
    """What came of a file."""

    made: bool = False
    failure: str | None = None


def run_jobs(stem_jobs: Sequence[StemJob], jobs: Sequence[Job], each: int) -> None:
    """Work through the files, `each` at a time on every device; one may fail, the others go on.

    The work is done in threads of its own, so that a signal, which the main thread receives, never
    interrupts the moving of finished files; the threads stop at their next block.

    Raises:
        InputError: some failed.
    """
    stop = threading.Event()
    threads, workers = torch.get_num_threads(), each * len(stem_jobs)
    torch.set_num_threads(max(1, threads // workers))
    idle: SimpleQueue[StemJob] = SimpleQueue()
    for stem_job in [*stem_jobs] * each:
        idle.put(stem_job)
    pipe = StandardInput(stop)
    with Progress(jobs, stop) as progress, ThreadPoolExecutor(workers) as pool:
        try:
            futures = [pool.submit(work, idle, job, pipe, progress) for job in jobs]
            outcomes = [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            torch.set_num_threads(threads)
    failures = [outcome.failure for outcome in outcomes if outcome.failure]
    made = sum(outcome.made for outcome in outcomes)
    if len(jobs) == 1 and failures:
        raise InputError(failures[0])
    if len(jobs) != 1:
        there = len(jobs) - made - len(failures)
        print(f"{made} separated, {there} there already, {len(failures)} failed")
    if failures:
        raise InputError(f"{len(failures)} of {len(jobs)} files failed; first: {failures[0]}")


class StandardInput:
    """Standard input, read such that a silent pipe does not keep the program from ending.

    Args:
        stop: whether it shall end.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end.

        Raises:
            Cancelled: the program shall end.
        """
        number = sys.stdin.fileno()
        while not select.select([number], [], [], PATIENCE_SECONDS)[0]:
            if self.stop.is_set():
                raise Cancelled
        return os.read(number, size)


def work(idle: SimpleQueue[StemJob], job: Job, pipe: Pipe, progress: Progress) -> Outcome:
    """Separate a file where nothing else is done, and say what came of it."""
    stem_job = idle.get()
    try:
        made = persevere(stem_job, job, progress.follow(job), pipe)
    except Cancelled:
        raise
    except Exception as error:  # whatever it is, other files go on
        if isinstance(error, InputError):
            failure = str(error)
        elif isinstance(error, OSError):
            failure = str(error.strerror)
        else:
            log.debug("%s", job.name, exc_info=True)
            failure = f"{type(error).__name__}: {error}; this is a fault of the program, report it"
        if job.name not in failure:
            failure = f"{job.name}: {failure}"
        progress.finish(job, f"failed: {failure}")
        return Outcome(failure=failure)
    finally:
        idle.put(stem_job)
    note = "" if made else " is there already"
    progress.finish(job, f"{stem_job.report(job).parent}{note}")
    return Outcome(made)


def persevere(stem_job: StemJob, job: Job, progress: Follower, pipe: Pipe | None = None) -> bool:
    """`StemJob.run`; where the memory does not suffice, once more with less."""
    while True:
        try:
            return stem_job.run(job, pipe or sys.stdin.buffer, progress)
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            if job.path is None or not stem_job.shrink():
                raise InputError(f"{job.name}: not enough memory; close programs") from error
            log.info("%s: not enough memory, once more with less", job.name)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C, with the exit code of the signal."""

    def end(number: int, _: Any) -> None:
        print("error: terminated; repeat the command to go on", file=sys.stderr)
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
