"""The service: jobs that wait, are separated, and are kept for a while. Knows no HTTP."""

from __future__ import annotations

import contextlib
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import torch

from auralflow_pl.errors import Cancelled
from auralflow_pl.serving.jobs import ENDED, JobState, ServeLimits, UploadJob
from auralflow_pl.serving.refusals import Refusal, refusal_of
from auralflow_pl.serving.uploads import SeparateFunction, separate_upload
from auralflow_pl.stems.job import StemJob
from auralflow_pl.stems.loading import LoadedModel, stems_of
from auralflow_pl.stems.outputs import OutputTemplate, StemOptions

RETRY_SECONDS = 10  # after which a client that was refused may ask again

SWEEP_SECONDS = 1.0  # between looks for jobs whose time is over


class SeparationService:
    """Context manager that separates uploads in threads, and removes the files of all jobs.

    A job has a place from its first byte until its separation ends. There are places for the
    jobs in work and for `queue_size` others, so that disk and memory are bounded.

    Args:
        models: models with distinct targets, shared by all jobs.
        device: device of the models.
        folder: an empty folder for the files of jobs.
        limits: limits of uploads, and of the time that files are kept.
        run: function that runs a `StemJob`, such as `run_within_memory`.
        ended: called with every job that has ended.
    """

    def __init__(
        self,
        models: Sequence[LoadedModel],
        device: torch.device,
        folder: Path,
        limits: ServeLimits,
        run: SeparateFunction,
        ended: Callable[[UploadJob], None] = lambda _: None,
    ) -> None:
        self.models, self.device, self.folder = models, device, folder
        self.limits, self.run, self.ended = limits, run, ended
        self.lock = threading.RLock()
        self.jobs: dict[str, UploadJob] = {}
        self.waiting: list[UploadJob] = []
        self.occupied: set[UploadJob] = set()  # jobs that have a place
        self.closed = threading.Event()
        self.removals: queue.SimpleQueue[UploadJob] = queue.SimpleQueue()
        self.pool = ThreadPoolExecutor(limits.workers, "separation")
        self.remover = threading.Thread(target=self.keep_removing, name="remover")

    def __enter__(self) -> SeparationService:
        self.remover.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self.pool.shutdown()  # wait until the last job has closed its files
        self.remover.join()

    @property
    def targets(self) -> list[str]:
        """Names of the stems, without the residual."""
        return list(stems_of(self.models))

    def close(self) -> None:
        """Stop all jobs and refuse new ones."""
        self.closed.set()
        with self.lock:
            jobs = list(self.jobs.values())
        for job in jobs:
            self.discard(job)

    def open_job(self) -> UploadJob:
        """A new job with a place and an empty folder.

        Raises:
            Refusal: all places are taken, the server ends, or its disk is full.
        """
        with self.lock:
            if self.closed.is_set():
                raise ending()
            places = self.limits.workers + self.limits.queue_size
            if len(self.occupied) >= places:
                raise Refusal(
                    503,
                    f"the queue is full: {places} uploads are in work or wait (queue_size); try "
                    f"again after {RETRY_SECONDS} seconds",
                    RETRY_SECONDS,
                )
            job = UploadJob(self.folder / secrets.token_urlsafe(16))
            try:
                job.folder.mkdir()
            except OSError as error:
                raise refusal_of(error, job.folder, job.upload, "upload") from error
            self.jobs[job.id] = job
            self.occupied.add(job)
        return job

    def submit(self, job: UploadJob, name: str, options: StemOptions) -> None:
        """Queue a job whose upload is complete.

        Args:
            job: from `open_job`.
            name: name that the client gave the file, for messages.
            options: settings of the stems.

        Raises:
            Refusal: the options contradict each other, or the server ends.
        """
        job.name, job.options = name, options
        try:
            stem_job = self.stem_job(job)
        except Exception as error:
            raise refusal_of(error, job.folder, job.upload, name) from error
        with self.lock:
            if job.discarded:
                raise ending()
            job.state = JobState.QUEUED
            self.waiting.append(job)
            self.pool.submit(self.work, job, stem_job)

    def stem_job(self, job: UploadJob) -> StemJob:
        """What separates the upload of a job."""
        template = OutputTemplate(f"{job.folder}/{{track}}/{{target}}.{{ext}}")
        return StemJob(self.models, template, job.options, self.device)

    def work(self, job: UploadJob, stem_job: StemJob) -> None:
        """Separate the upload of a job in a thread of the pool."""
        with self.lock:
            if job in self.waiting:
                self.waiting.remove(job)
            if job.discarded:
                return
            job.state, started = JobState.RUNNING, time.monotonic()
        stems, refusal, state = {}, None, JobState.DONE
        try:
            sound = self.limits.sound
            stems = separate_upload(
                stem_job, job.upload, sound, self.run, self.watched(job, started)
            )
        except Cancelled:
            state = JobState.CANCELLED
        except Exception as error:  # of any kind: the server goes on
            refusal = refusal_of(error, job.folder, job.upload, job.name)
            state = JobState.FAILED
        with contextlib.suppress(OSError):
            job.upload.unlink()
        job.work_seconds = time.monotonic() - started
        with self.lock:
            job.stems, job.refusal = stems, refusal
            self.end(job, state)
            self.remove_unused(job)

    def watched(self, job: UploadJob, started: float) -> Callable[[float, float | None], bool]:
        """Progress callback of a job, which stops it if it is cancelled or takes too long."""

        def report(done: float, total: float | None) -> bool:
            job.seconds, job.total = done, total
            limit = self.limits.timeout_seconds
            if time.monotonic() - started > limit:
                raise Refusal(
                    504,
                    f"{job.name}: not separated within {limit:g} seconds (timeout_seconds); "
                    "send a shorter file",
                )
            return not job.stop.is_set()

        return report

    def end(self, job: UploadJob, state: JobState) -> None:
        """Give the place of a job free and tell those who wait for it; the caller has the lock."""
        job.state, job.ended_at = state, time.monotonic()
        self.occupied.discard(job)
        if not job.finished.done():
            job.finished.set_result(None)
        self.ended(job)

    def discard(self, job: UploadJob) -> None:
        """Cancel a job if it has not ended, and remove all of its files."""
        with self.lock:
            if job.discarded:
                return
            job.discarded = True
            self.jobs.pop(job.id, None)
            job.stop.set()
            if job in self.waiting:
                self.waiting.remove(job)
            if job.state in (JobState.RECEIVING, JobState.QUEUED):
                self.end(job, JobState.CANCELLED)
            self.remove_unused(job)

    def remove_unused(self, job: UploadJob) -> None:
        """Have the folder of a discarded job removed, unless it is in use; then it is later."""
        if job.discarded and job.state is not JobState.RUNNING and not job.readers:
            self.removals.put(job)

    def find(self, number: str) -> UploadJob:
        """The job of a number.

        Raises:
            Refusal: there is none.
        """
        job = self.jobs.get(number)
        if job is None:
            keep = self.limits.keep_seconds
            raise Refusal(
                404,
                "no such job: it never was, was deleted, or ended more than "
                f"{keep:g} seconds ago (keep_seconds)",
            )
        return job

    def stems_of(self, job: UploadJob) -> dict[str, Path]:
        """Paths of the stems of a job by name; `release` has to follow.

        Raises:
            Refusal: it is not done, or failed, or the server ends.
        """
        with self.lock:
            if job.refusal is not None:
                raise job.refusal
            if self.closed.is_set():
                raise ending()
            if job.discarded or job.state is JobState.CANCELLED:
                raise Refusal(410, "the job was cancelled")
            if job.state is not JobState.DONE:
                raise Refusal(409, f"the job is {job.state}; its stems are not there yet", 1)
            job.readers += 1
            return job.stems

    def release(self, job: UploadJob) -> None:
        """End of a response with stems of a job."""
        with self.lock:
            job.readers -= 1
            job.ended_at = time.monotonic()
            self.remove_unused(job)

    def position(self, job: UploadJob) -> int | None:
        """Place of a job in the queue, from 1; None if it does not wait."""
        with self.lock:
            return self.waiting.index(job) + 1 if job in self.waiting else None

    def count(self, state: JobState) -> int:
        """Number of jobs in a state."""
        with self.lock:
            jobs = {*self.jobs.values(), *self.occupied}
        return sum(job.state is state for job in jobs)

    def keep_removing(self) -> None:
        """Remove the folders of discarded jobs, and discard old ones, until the service closes."""
        while not (self.closed.is_set() and not self.occupied and self.removals.empty()):
            try:
                job = self.removals.get(timeout=SWEEP_SECONDS)
            except queue.Empty:
                self.discard_old()
            else:
                shutil.rmtree(job.folder, ignore_errors=True)

    def discard_old(self) -> None:
        """Discard jobs that ended more than `keep_seconds` ago, unless their stems are read."""
        oldest = time.monotonic() - self.limits.keep_seconds
        with self.lock:
            old = [
                job
                for job in self.jobs.values()
                if job.state in ENDED and not job.readers and job.ended_at < oldest
            ]
        for job in old:
            self.discard(job)


def ending() -> Refusal:
    """Refusal of a server that ends."""
    return Refusal(503, "the server ends; try again once it has started", RETRY_SECONDS)
