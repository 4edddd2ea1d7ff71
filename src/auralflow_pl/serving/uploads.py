"""Separate a file that somebody uploaded: within limits, and without a word of where it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auralflow_pl.audio.reading import open_source
from auralflow_pl.errors import InputError, WriteError
from auralflow_pl.stems.inputs import InputFile
from auralflow_pl.stems.job import SecondsCallback, StemJob
from auralflow_pl.system.files import free_bytes

SeparateFunction = Callable[[StemJob, InputFile, SecondsCallback], bool]

STEM_SAMPLE_BYTES = 4  # of a stem, at most

UPLOAD_TRACK = "stems"  # name of the folder with the stems of an upload


@dataclass(frozen=True)
class SoundLimits:
    """The longest sound that is accepted, and the most channels."""

    seconds: float
    advice: str  # what the limit is called, and what to do
    channels: int | None = None  # None: any number

    def check_seconds(self, seconds: float) -> None:
        """Raise InputError for a sound that is too long."""
        if seconds > self.seconds:
            raise InputError(f"longer than {spoken_length(self.seconds)}, {self.advice}")

    def check_file(self, path: Path, stems: int) -> None:
        """Raise InputError for a file that is no sound or beyond the limits.

        Args:
            path: the file; its disk also has to have room for the stems.
            stems: number of stems.

        Raises:
            WriteError: the disk has no room: a small file may hold hours of silence.
        """
        with open_source(path) as source:
            if source.frames is not None:
                self.check_seconds(source.frames / source.sample_rate)
                needed = stems * source.frames * source.channels * STEM_SAMPLE_BYTES
                if needed > free_bytes(path):
                    raise WriteError(f"{path.name}: the disk has no room for {needed} bytes")
            if self.channels is not None and source.channels > self.channels:
                raise InputError(
                    f"{source.channels} channels; expected at most {self.channels} (max_channels)"
                )


def spoken_length(seconds: float) -> str:
    """A length in minutes, or in seconds if it is short."""
    return f"{seconds / 60:g} minutes" if seconds >= 6 else f"{seconds:g} seconds"


def separate_upload(
    stem_job: StemJob,
    path: Path,
    limits: SoundLimits,
    run: SeparateFunction,
    progress: SecondsCallback,
) -> dict[str, Path]:
    """Write the stems of an upload into the folder `UPLOAD_TRACK` of the template.

    No report is left: it names the folders of the server.

    Args:
        stem_job: separates it.
        path: the upload.
        limits: checked by the header, and again while the file is read, since headers may be wrong.
        run: function that runs a `StemJob`, such as `run_within_memory`.
        progress: called with seconds, see `StemJob.run`.

    Returns:
        paths of the stems by name.

    Raises:
        InputError: the file cannot be read, or is beyond the limits; the message may name `path`.
        Cancelled: `progress` returned False.
    """
    work = InputFile(path, UPLOAD_TRACK)
    stems = stem_job.finals(work, stem_job.options.format)
    limits.check_file(path, len(stems))

    def within_limits(done: float, total: float | None) -> bool | None:
        limits.check_seconds(done)
        return progress(done, total)

    run(stem_job, work, within_limits)
    stem_job.report(work).unlink()
    return stems
