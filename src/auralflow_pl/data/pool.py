"""The pool: tracks decoded and resampled once, and read as memory-mapped PCM."""

from __future__ import annotations

import contextlib
import errno
import glob
import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from auralflow_pl.checks.values import one_of
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError, os_reason
from auralflow_pl.signal.resampling import match_length, resample
from auralflow_pl.system.files import free_bytes, values_sha256, write_whole
from auralflow_pl.system.progress import Progress

log = logging.getLogger(__name__)

POOL_VERSION = 1  # version of the content of files; increase it with every change

LOUD_DB = 1.0  # level above full scale from which clipping is told; decoded AAC and MP3 stay below

SAMPLE_SCALES = {"int16": 32768.0, "float32": 1.0}


@lru_cache(maxsize=4096)
def open_mapped(path: Path) -> np.ndarray:
    """Memory-mapped array of a pool file, `(planes, channels, frames)`; cached."""
    return np.load(path, mmap_mode="r")


@dataclass(frozen=True)
class PoolTrack(Track):
    """A track in a file of the pool."""

    def read_planes(self, planes: slice | int, start: int, frames: int) -> Tensor:
        """Float samples of some planes, `(planes, channels, frames)` or `(channels, frames)`."""
        samples = open_mapped(self.files[0])[planes, :, start : start + frames]
        floats = torch.from_numpy(samples.astype(np.float32))
        return floats.mul_(1 / SAMPLE_SCALES[str(samples.dtype)])

    def read_stem(self, stem: str, start: int, frames: int) -> Tensor:
        """Read `frames` samples of one stem from sample `start` on, `(channels, frames)`."""
        return self.read_planes(self.stems.index(stem), start, frames)

    def read_stems(self, start: int, frames: int) -> Tensor:
        """Read `(stems, channels, frames)` from sample `start` on, in one slice."""
        return self.read_planes(slice(len(self.stems)), start, frames)

    def read_mixture(self, start: int, frames: int) -> Tensor:
        """Read `frames` samples of the mixture from sample `start` on, `(channels, frames)`."""
        if not self.has_mixture:
            return super().read_mixture(start, frames)
        return self.read_planes(-1, start, frames)

    def level(self, stem: str, start: int, frames: int) -> float:
        """Mean square of one stem over a span, estimated from every 16th sample."""
        plane = self.stems.index(stem)
        samples = open_mapped(self.files[0])[plane, :, start : start + frames : 16]
        scale = SAMPLE_SCALES[str(samples.dtype)]
        return float(np.square(samples, dtype=np.float32).mean()) / scale**2

    def planes(self) -> Iterator[Tensor]:
        """All stems, then the mixture if there is one, `(channels, time)` each."""
        count = len(self.stems) + self.has_mixture
        return (self.read_planes(plane, 0, self.frames) for plane in range(count))


class Pool:
    """A folder with one `.npy` file for each track, planar and at one sample rate.

    The name of a file holds digests of path, size and modification time of the sources and of the
    parameters. A changed source is decoded again, and its old file is removed. Files appear when
    they are complete. A lock for each track lets several processes share the work. Incomplete
    files of interrupted processes are replaced.

    Args:
        folder: folder of the files; it may be deleted at any time.
        sample_rate: sample rate of the pool in Hz.
        dtype: `int16`, with values beyond full scale clipped
            (a warning names the track and its peak), or `float32`.
        workers: number of tracks that are decoded at a time; None: one for each core.

    Raises:
        InputError: unknown `dtype`.
    """

    def __init__(
        self,
        folder: str | Path,
        sample_rate: int,
        dtype: str = "int16",
        workers: int | None = None,
    ) -> None:
        one_of("pool.dtype", dtype, SAMPLE_SCALES)
        self.folder = Path(folder)
        self.sample_rate = sample_rate
        self.dtype = np.dtype(dtype)
        self.workers = workers or os.cpu_count() or 1

    def path(self, track: Track) -> Path:
        """Path of the file of a track, from its name, sources, spans, stems and parameters."""
        recipe = [[str(p.resolve()) for p in track.files], self.sample_rate, str(self.dtype)]
        if len(track.files) < len(track.stems) + track.has_mixture:  # planes are not files
            recipe.append(list(track.stems))
        if track.parts:
            recipe.append([list(track.stems), list(track.parts)])
        if track.changes:
            recipe.append(track.changes)
        if track.spans:
            recipe.append(track.spans)
        state = [POOL_VERSION, [(p.stat().st_size, p.stat().st_mtime_ns) for p in track.files]]
        name = re.sub(r"[^\w.-]+", "_", track.name)[:60]
        return self.folder / f"{name}-{values_sha256(recipe, 12)}-{values_sha256(state, 12)}.npy"

    def shape(self, track: Track) -> tuple[int, int, int]:
        """Planes, channels and frames of a track in the pool."""
        frames = math.ceil(track.frames * self.sample_rate / track.sample_rate)
        return len(track.stems) + track.has_mixture, track.channels, frames

    def build(self, tracks: Sequence[Track]) -> None:
        """Decode the tracks that the pool lacks, in parallel, with a progress bar.

        Raises:
            InputError: a source cannot be read, or the folder cannot be written or is full.
        """
        missing = [track for track in tracks if not self.holds(track)]
        if not missing:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.check_space(missing)
            with ThreadPoolExecutor(self.workers) as threads:
                jobs = [threads.submit(self.decode, track) for track in missing]
                try:
                    for job in Progress(as_completed(jobs), "pool", len(jobs), unit="track"):
                        job.result()
                except BaseException:
                    threads.shutdown(cancel_futures=True)
                    raise
        except OSError as error:
            raise InputError(
                f"pool.folder={self.folder}: cannot be written: {os_reason(error)}; free some "
                "space or choose another folder, or pool=none to read the files themselves"
            ) from error

    def check_space(self, tracks: Sequence[Track]) -> None:
        """Raise OSError if the disk lacks space for the tracks."""
        needed = sum(math.prod(self.shape(track)) for track in tracks) * self.dtype.itemsize
        free = free_bytes(self.folder)
        if needed > free:
            text = f"{needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free"
            raise OSError(errno.ENOSPC, text)

    def holds(self, track: Track) -> bool:
        """Whether the file of a track exists and is complete."""
        path = self.path(track)
        try:
            samples = np.load(path, mmap_mode="r")
        except (OSError, EOFError, ValueError):
            return False
        return samples.shape == self.shape(track) and samples.dtype == self.dtype

    def decode(self, track: Track) -> None:
        """Write the file of one track, unless another process has done so in the meantime."""
        path = self.path(track)
        with FileLock(path.with_suffix(".lock")):
            for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
                left.unlink(missing_ok=True)  # of killed processes: we hold the lock
            if self.holds(track):
                return
            write_whole(path, partial(self.write, track), sync=True)
            for old in path.parent.glob(f"{glob.escape(path.stem.rpartition('-')[0])}-*.npy"):
                if old != path:  # file of a former version of the sources
                    with contextlib.suppress(PermissionError):  # Windows: it is still mapped
                        old.unlink(missing_ok=True)

    def write(self, track: Track, file: BinaryIO) -> None:
        """Write the array header and all planes of a track."""
        shape = self.shape(track)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        peak = 0.0
        for plane in track.planes():
            peak = max(peak, float(plane.abs().max()))
            audio = match_length(resample(plane, track.sample_rate, self.sample_rate), shape[-1])
            if self.dtype == np.int16:
                audio = (audio * SAMPLE_SCALES["int16"]).round().clamp(-32768, 32767).short()
            file.write(audio.contiguous().numpy().data)
        if self.dtype == np.int16 and peak > 10 ** (LOUD_DB / 20):
            log.warning(
                "%s/%s: peak %.1f dB above full scale, clipped by pool=int16; "
                "pass pool=float32 to keep it",
                track.split,
                track.name,
                20 * math.log10(peak),
            )

    def open(self, track: Track) -> PoolTrack:
        """Open a track in the pool.

        Raises:
            InputError: the file is missing or incomplete.
        """
        if not self.holds(track):
            raise InputError(f"{self.path(track)}: missing or damaged; start again to rebuild it")
        _, _, frames = self.shape(track)
        pooled = {"sample_rate": self.sample_rate, "frames": frames, "files": (self.path(track),)}
        return PoolTrack(**track.facts() | pooled)
