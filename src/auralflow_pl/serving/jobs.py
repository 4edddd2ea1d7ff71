"""Jobs: an upload, its state and its limits."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from auralflow_pl.serving.refusals import Refusal
from auralflow_pl.serving.uploads import SoundLimits
from auralflow_pl.stems.outputs import StemOptions


class JobState(StrEnum):
    """What becomes of an upload."""

    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class ServeLimits:
    """Limits of a server; they are the keys of the command."""

    sound: SoundLimits
    upload_bytes: int
    upload_seconds: float
    timeout_seconds: float
    idle_seconds: float
    keep_seconds: float
    queue_size: int
    workers: int


class UploadJob:
    """One upload, its state and its files.

    Args:
        folder: folder of the job, in that of the server; its name is the number of the job.
    """

    def __init__(self, folder: Path) -> None:
        self.id, self.folder, self.upload = folder.name, folder, folder / "upload"
        self.name, self.options = "upload", StemOptions()
        self.state = JobState.RECEIVING
        self.seconds = 0.0  # of sound that are done
        self.total: float | None = None  # of sound in all; None: unknown
        self.stop = threading.Event()
        self.refusal: Refusal | None = None  # why it failed
        self.stems: dict[str, Path] = {}
        self.work_seconds, self.ended_at = 0.0, 0.0
        self.readers = 0  # responses that send its stems
        self.discarded = False  # its folder is removed once nobody works on it
        self.finished: Future[None] = Future()
