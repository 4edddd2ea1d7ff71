"""Separate many files on several devices."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import NamedTuple

import torch

from auralflow_pl.errors import Cancelled, InputError, os_reason
from auralflow_pl.stems.inputs import BytePipe, InputFile
from auralflow_pl.stems.job import SecondsCallback, StemJob
from auralflow_pl.stems.progress import ProgressBars
from auralflow_pl.system.device import torch_threads
from auralflow_pl.system.memory import is_memory_shortage

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.2  # between checks of a pipe without data


class FileOutcome(NamedTuple):
    """Result for one file: whether stems were written, or why it failed."""

    made: bool = False
    failure: str | None = None


def separate_files(stem_jobs: Sequence[StemJob], jobs: Sequence[InputFile], each: int) -> None:
    """Separate files, `each` at a time on every device; a failed file does not stop the others.

    Worker threads separate the files. The main thread receives signals, so they never interrupt
    the moving of finished files; the workers stop at their next block.

    Args:
        stem_jobs: one per device.
        jobs: files to separate.
        each: files at a time on every device.

    Raises:
        InputError: a file failed.
    """
    stop = threading.Event()
    threads, workers = torch.get_num_threads(), each * len(stem_jobs)
    idle: SimpleQueue[StemJob] = SimpleQueue()
    for stem_job in [*stem_jobs] * each:
        idle.put(stem_job)
    pipe = StandardInput(stop)
    with (
        torch_threads(max(1, threads // workers)),
        ProgressBars(jobs, stop) as progress,
        ThreadPoolExecutor(workers) as pool,
    ):
        try:
            futures = [pool.submit(run_queue, idle, job, pipe, progress) for job in jobs]
            outcomes = [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
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
    """Standard input whose `read` can be interrupted while no data arrives.

    Args:
        stop: once set, `read` raises `Cancelled`.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; empty at the end.

        Raises:
            Cancelled: `stop` was set.
        """
        if sys.stdin is None:
            raise InputError("input=-: standard input is closed; pass a file, or `< file`")
        found: Future[bytes] = Future()
        threading.Thread(
            target=read_into, args=(found, sys.stdin.fileno(), size), daemon=True
        ).start()
        while not wait([found], PATIENCE_SECONDS).done:
            if self.stop.is_set():
                raise Cancelled
        return found.result()


def read_into(found: Future[bytes], descriptor: int, size: int) -> None:
    """Read from a file; the result, or the error, is that of `found`."""
    try:
        found.set_result(os.read(descriptor, size))
    except OSError as error:
        found.set_exception(error)


def run_queue(
    idle: SimpleQueue[StemJob], job: InputFile, pipe: BytePipe, progress: ProgressBars
) -> FileOutcome:
    """Separate a file with the next idle `StemJob`; return its result and show it.

    Raises:
        Cancelled: the separation was stopped; any other failure is part of the result.
    """
    stem_job = idle.get()
    try:
        made = run_within_memory(stem_job, job, progress.follow(job), pipe)
    except Cancelled:
        raise
    except Exception as error:  # of any kind: the other files are still separated
        if isinstance(error, InputError):
            failure = str(error)
        elif isinstance(error, OSError):
            failure = os_reason(error)
        else:
            log.debug("%s", job.name, exc_info=True)
            failure = f"{type(error).__name__}: {error}; this is a bug, please report it"
        if job.name not in failure:
            failure = f"{job.name}: {failure}"
        progress.finish(job, f"failed: {failure}")
        return FileOutcome(failure=failure)
    finally:
        idle.put(stem_job)
    note = "" if made else " is there already"
    progress.finish(job, f"{stem_job.report(job).parent}{note}")
    return FileOutcome(made)


def run_within_memory(
    stem_job: StemJob, job: InputFile, progress: SecondsCallback, pipe: BytePipe | None = None
) -> bool:
    """Run a job; on out-of-memory, retry with smaller batches and windows for this file only.

    Args:
        stem_job: job to run.
        job: file to separate.
        progress: see `StemJob.run`.
        pipe: standard input; it cannot be read again, so there is no retry. None: the job has a
            path.

    Returns:
        False if the stems already exist.

    Raises:
        InputError: the file cannot be separated, or the memory does not suffice.
        Cancelled: `progress` returned False.
    """
    while True:
        try:
            return stem_job.run(job, pipe or io.BytesIO(), progress)
        except (RuntimeError, MemoryError) as error:
            if not is_memory_shortage(error):
                raise
            smaller = stem_job.shrunk() if job.path else None
            if smaller is None:
                raise InputError(f"{job.name}: not enough memory; close programs") from error
            stem_job = smaller
            log.info("%s: not enough memory, once more with less", job.name)
