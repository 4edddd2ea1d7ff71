"""Separation of uploaded files and deletion of old ones, without the web page."""

from __future__ import annotations

import contextlib
import math
import secrets
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import soundfile
import torch

from auralflow_pl.data.synthesis.song import render_song
from auralflow_pl.data.synthesis.tones import SONG_RATE
from auralflow_pl.errors import Cancelled, InputError
from auralflow_pl.report.listening import listening_gain, prepare_sound, write_listening_page
from auralflow_pl.serving.uploads import SeparateFunction, SoundLimits, separate_upload
from auralflow_pl.stems.inputs import track_name
from auralflow_pl.stems.job import SecondsCallback, StemJob
from auralflow_pl.stems.loading import LoadedModel
from auralflow_pl.stems.outputs import OutputTemplate, StemOptions

EXAMPLE_SEED, EXAMPLE_SECONDS = (0, 3, 0), 12.0  # not in any split of the data set

LENGTH_ADVICE = (
    "which is the limit of this page (max_minutes); cut the file, or use the command "
    "`auralflow separate`"
)


@dataclass(frozen=True)
class DemoLimits:
    """Limits of uploads and of the time files are kept."""

    minutes: float  # longest song
    megabytes: float  # largest upload
    keep_minutes: float  # time until unused files are deleted


class DemoService:
    """Context manager that separates uploaded files one at a time and deletes old files.

    Args:
        models: models by the names shown on the page.
        device: device of the models.
        folder: an empty folder for files; old files in its `uploads` and `results` are deleted.
        limits: limits of uploads and of the time files are kept.
        run: function that runs a `StemJob`, such as `run_within_memory`.
    """

    def __init__(
        self,
        models: Mapping[str, LoadedModel],
        device: torch.device,
        folder: Path,
        limits: DemoLimits,
        run: SeparateFunction,
    ) -> None:
        self.models, self.device, self.limits, self.run = models, device, limits, run
        folder = folder.resolve()
        self.uploads, self.results = folder / "uploads", folder / "results"
        self.examples = folder / "examples"
        self.stops: dict[str, threading.Event] = {}
        self.working, self.closed = threading.Lock(), threading.Event()
        self.rendering = threading.Lock()
        self.spared: dict[str, set[Path]] = {}  # paths in use, by visitor or result folder
        self.sweeper = threading.Thread(target=self.keep_sweeping, daemon=True)

    def __enter__(self) -> DemoService:
        for folder in (self.uploads, self.results, self.examples):
            folder.mkdir(parents=True)
        self.sweeper.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self.sweeper.join()
        with self.working:  # wait until the last job has closed its files
            pass

    def close(self) -> None:
        """Stop running jobs and refuse new ones."""
        self.closed.set()
        for stop in list(self.stops.values()):
            stop.set()

    def keep(self, visitor: str, path: Path) -> None:
        """Protect a file in the queue from deletion until it is separated or cancelled."""
        self.spared.setdefault(visitor, set()).add(path)

    def cancel(self, visitor: str) -> None:
        """Stop the job of a visitor, if any, and no longer protect the visitor's files."""
        self.spared.pop(visitor, None)
        if stop := self.stops.get(visitor):
            stop.set()

    def example(self) -> Path:
        """Path of a synthesised example song, which is rendered by the first call."""
        path = self.examples / "generated song.wav"
        with self.rendering:
            if not path.is_file():
                song = render_song(EXAMPLE_SEED, EXAMPLE_SECONDS)
                soundfile.write(path, song["mixture"], SONG_RATE)
        return path

    def separate(
        self,
        visitor: str,
        path: Path,
        model: str,
        targets: Sequence[str],
        progress: SecondsCallback,
    ) -> str:
        """Separate a file and write stems and a listening page.

        Args:
            visitor: session of the visitor, the key for `cancel`.
            path: the file, in `uploads`.
            model: name of the model.
            targets: targets of the model to write.
            progress: called with seconds, see `StemJob.run`.

        Returns:
            name of the folder in `results` with `index.html`, an unguessable token.

        Raises:
            InputError: the file was not uploaded, is deleted, cannot be read or is too long, or
                no target is chosen.
            Cancelled: the visitor cancelled the job, or the service is closed.
        """
        self.check_upload(path)
        stop = self.stops[visitor] = threading.Event()
        token = secrets.token_urlsafe(16)
        folder = self.results / token
        self.spared[token] = {path, folder}
        self.spared.get(visitor, set()).discard(path)
        try:
            with self.working:
                if self.closed.is_set():
                    raise Cancelled
                folder.mkdir()
                self.make(folder, path, model, targets, self.watched(progress, stop))
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, InputError):  # does not reveal folders of the server
                raise InputError(str(error).replace(str(path), path.name)) from error
            raise
        finally:
            del self.spared[token]
            if self.stops.get(visitor) is stop:
                del self.stops[visitor]
        return token

    def check_upload(self, path: Path) -> None:
        """Raise InputError for a file that was not uploaded, or has been deleted."""
        if not self.is_upload(path):  # does not reveal whether other files exist
            raise InputError(f"{path.name}: was not uploaded; drop the file, or take the example")
        if not path.is_file():
            raise InputError(f"{path.name}: is no longer kept; drop it once more")

    def is_upload(self, path: Path) -> bool:
        """Return True if a path is in the folder of uploads, after following links."""
        try:
            return path.resolve().is_relative_to(self.uploads)
        except (OSError, ValueError, RuntimeError):  # invalid name, or cyclic links
            return False

    def make(
        self,
        folder: Path,
        path: Path,
        model: str,
        targets: Sequence[str],
        progress: SecondsCallback,
    ) -> None:
        """Write stems and listening page to the folder of a result; see `separate`."""
        chosen = self.models[model]
        if not targets:
            raise InputError("target: nothing is chosen; expected at least one")
        template = OutputTemplate(f"{folder}/{{track}}/{{target}}.{{ext}}")
        job = StemJob([chosen], template, StemOptions(True), self.device, targets=targets)
        limits = SoundLimits(60 * self.limits.minutes, LENGTH_ADVICE)
        stems = separate_upload(job, path, limits, self.run, progress)
        gain = listening_gain([path, *stems.values()])
        sounds = [prepare_sound("mixture", path, folder / "mixture.flac", gain=gain)]
        for number, (name, stem) in enumerate(stems.items()):
            address = str(stem.relative_to(folder))
            progress(sounds[0].seconds, sounds[0].seconds)
            heard = folder / f"{number}.flac"
            sounds.append(prepare_sound(name, stem, heard, address, gain))
        subtitle = f"separated by {model}"
        if gain < 1:
            subtitle += (
                f"; samples exceed full scale: the player is {-20 * math.log10(gain):.1f} dB "
                "quieter than the files"
            )
        write_listening_page(folder, track_name(path), subtitle, sounds)

    def watched(self, progress: SecondsCallback, stop: threading.Event) -> SecondsCallback:
        """Wrap a progress callback to stop a cancelled job."""

        def report(done: float, total: float | None) -> bool:
            if stop.is_set():
                raise Cancelled
            return progress(done, total) is not False

        return report

    def find(self, token: str, name: str) -> Path | None:
        """Path of a file in a result folder; None if it does not exist or is outside."""
        folder, path = self.results / token, self.results / token / name
        inside = path.resolve().is_relative_to(folder.resolve())
        ours = folder.resolve().parent == self.results
        return path if inside and ours and path.is_file() else None

    def keep_sweeping(self) -> None:
        """Delete old files periodically until the service is closed."""
        while not self.closed.wait(min(30.0, 30 * self.limits.keep_minutes)):
            self.sweep()

    def in_use(self, entry: Path) -> bool:
        """Return True if a queued or running job uses an entry of `uploads` or `results`."""
        spared = [path for paths in self.spared.copy().values() for path in paths.copy()]
        return any(path.is_relative_to(entry) for path in spared)

    def sweep(self) -> None:
        """Delete entries that are not in use and were not modified for `keep_minutes`."""
        oldest = time.time() - 60 * self.limits.keep_minutes
        for entry in (*self.uploads.iterdir(), *self.results.iterdir()):
            if self.in_use(entry):
                continue
            with contextlib.suppress(OSError):  # it is gone, or open on Windows
                if max(path.stat().st_mtime for path in (entry, *entry.rglob("*"))) >= oldest:
                    continue
                if entry.is_dir():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink()
