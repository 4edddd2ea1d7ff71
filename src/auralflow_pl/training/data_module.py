"""The LightningDataModule, which serves chunks for training and whole tracks for validation."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from auralflow_pl.data.augment import Augmentation
from auralflow_pl.data.chunks import ChunkDataset, ChunkSampler, WholeTracks
from auralflow_pl.data.mixtures import check_mixtures, check_stems
from auralflow_pl.data.pool import Pool
from auralflow_pl.data.sampling import SamplingOptions
from auralflow_pl.data.splits import check_apart
from auralflow_pl.data.tracks import Track, TrackSource
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.scale_invariant import SILENCE_DB

IGNORED_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")  # the main process handles them


def leave_signals_to_training(worker: int) -> None:  # noqa: ARG001 - torch's signature
    """Ignore signals in a loader worker.

    Clusters and Ctrl-C signal all processes of a job, and only the main process shall react.
    """
    for name in IGNORED_SIGNALS:
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)


def is_audible(track: Track, stem: str) -> bool:
    """Whether a stem of a track is above the level at which scores are undefined."""
    return track.level(stem, 0, track.frames) >= 10 ** (SILENCE_DB / 10)


def own_message(error: InputError) -> str:
    """Message of an error, of which torch makes a traceback if a loader process raised it."""
    return str(error).rpartition(f"{InputError.__name__}: ")[2].strip()


class ChunkLoader(DataLoader[dict[str, Tensor]]):
    """A loader of chunks in the order of a `ChunkSampler` that can resume within an epoch.

    Its state is the number of batches taken from the epoch.
    """

    taken = 0
    first = 0
    batches: Iterator[dict[str, Tensor]] | None = None

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        self.taken, self.first = self.first, 0
        return self.take()

    def take(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches that are left of the epoch, which is known once they are asked for."""
        self.sampler.skip = self.taken * self.batch_size
        self.batches = super().__iter__()
        try:
            for batch in self.batches:
                self.taken += 1
                yield batch
        except InputError as error:
            raise InputError(own_message(error)) from error

    def close(self) -> None:
        """End the loader processes, which ignore the signal that Python ends its children with.

        Without this, a program waits for them at its end. Lightning forgets them if a training
        fails during validation.
        """
        batches, self.batches, self._iterator = self.batches, None, None
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            batches._shutdown_workers()
            for process in batches._workers:
                process.kill()  # if it has not ended by itself
                process.join()

    def state_dict(self) -> dict[str, int]:
        """Number of batches taken from the epoch, as `taken`."""
        return {"taken": self.taken % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Skip the batches already taken when iteration begins next."""
        self.first = state["taken"]


class StemDataModule(pl.LightningDataModule):
    """Serves training chunks and validation tracks of any `TrackSource`.

    Args:
        source: the data set.
        channels: channels of the audio, 1 or 2.
        sample_rate: sample rate of the audio in Hz; without a pool, all tracks must have it.
        chunk_seconds: length of training chunks in seconds.
        chunks_per_epoch: number of chunks drawn per epoch.
        batch_size: chunks per batch on each device.
        seed: seed of the drawn chunks.
        num_workers: loader processes; None: number of cores minus 1, at most 8.
        persistent_workers: keep the loader processes between epochs.
        pin_memory: load batches into page-locked memory, for a GPU.
        prefetch_factor: batches that each loader process prepares ahead.
        augmentations: augmentations of the training chunks, in this order.
        pool: store of decoded and resampled tracks; None: chunks are read from the files.
        drawing: how positions of chunks are drawn; None: tracks in proportion to their length,
            silent chunks included.
        groups: names of sums of stems, which tracks may have instead of the stems.
    """

    def __init__(
        self,
        source: TrackSource,
        channels: int,
        sample_rate: int,
        chunk_seconds: float,
        chunks_per_epoch: int,
        batch_size: int,
        seed: int,
        num_workers: int | None = None,
        persistent_workers: bool = True,
        pin_memory: bool = False,
        prefetch_factor: int = 4,
        augmentations: Sequence[Augmentation] = (),
        pool: Pool | None = None,
        drawing: SamplingOptions | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        check_stems(source.stems)
        self.source = source
        self.channels = channels
        self.sample_rate = sample_rate
        self.chunk_seconds = chunk_seconds
        self.chunks_per_epoch = chunks_per_epoch
        self.batch_size = batch_size
        self.seed = seed
        self.augmentations = augmentations
        self.drawing = drawing or SamplingOptions()
        self.groups = groups
        self.pool = pool if source.pooled else None
        self.headers: dict[str, list[Track]] = {}
        self.loader: ChunkLoader | None = None
        self.position = {"taken": 0}
        workers = min(8, (os.cpu_count() or 1) - 1) if num_workers is None else num_workers
        self.loading = {
            "num_workers": workers,
            "persistent_workers": persistent_workers and workers > 0,
            "pin_memory": pin_memory,
            "prefetch_factor": prefetch_factor if workers > 0 else None,
            "worker_init_fn": leave_signals_to_training,
        }

    def prepare_data(self) -> None:
        """Prepare the data set and build the pool; Lightning calls it in one process only."""
        self.source.prepare()
        if self.pool is not None:
            self.pool.build([t for split in ("train", "valid") for t in self.listed(split)])

    def setup(self, stage: str) -> None:
        """Find the tracks of both splits, so errors are raised before the first step.

        Raises:
            InputError: the targets are silent in every validation track, or one is in both splits.
        """
        if stage in ("test", "predict"):
            return
        self.chunks = ChunkDataset(
            self.tracks("train"),
            self.channels,
            self.sample_rate,
            self.chunk_seconds,
            self.seed,
            self.augmentations,
            self.drawing,
            self.chunks_per_epoch,
            self.source.stems,
            self.groups,
        )
        check_mixtures(self.chunks.tracks)
        check_apart(self.listed("train"), self.listed("valid"))
        valid = self.tracks("valid")
        stems = self.drawing.targets
        if stems and not any(is_audible(track, stem) for track in valid for stem in stems):
            raise InputError(
                f"target: {', '.join(stems)} silent in every validation track; choose another "
                "target or other tracks"
            )
        self.valid_tracks = WholeTracks(valid, self.channels)

    def listed(self, split: str) -> list[Track]:
        """Tracks of a split from the source; their headers are read once."""
        if split not in self.headers:
            self.headers[split] = self.source.tracks(split)
        return self.headers[split]

    def tracks(self, split: str) -> list[Track]:
        """Tracks of a split, from the pool if there is one."""
        tracks = self.listed(split)
        return tracks if self.pool is None else [self.pool.open(track) for track in tracks]

    def train_dataloader(self) -> ChunkLoader:
        """Batches of `mixture (batch, channels, time)`, `stems (batch, stems, channels, time)`."""
        rank, devices, overfit = 0, 1, False
        if trainer := self.trainer:
            rank, devices = trainer.global_rank, trainer.world_size
            overfit = trainer.overfit_batches > 0
        self.loader = ChunkLoader(
            self.chunks,
            self.batch_size,
            sampler=ChunkSampler(self.chunks_per_epoch, rank, devices, overfit),
            **self.loading,
        )
        self.loader.load_state_dict(self.position)
        return self.loader

    def on_exception(self, exception: BaseException) -> None:  # noqa: ARG002 - Lightning's signature
        """End the loader processes when a training fails or is interrupted."""
        self.close()

    def close(self) -> None:
        """End the loader processes."""
        if self.loader is not None:
            self.loader.close()

    def state_dict(self) -> dict[str, int]:
        """State of the training loader for checkpoints; an epoch that has ended is not continued.

        `limit_train_batches`, `max_steps` and `max_time` end epochs early.
        """
        epoch = self.trainer.fit_loop.epoch_progress.current
        return {"taken": 0 if epoch.processed == epoch.ready else self.loader.taken}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Store the state of the training loader until it is built.

        Lightning restores the loader itself only if the number of steps was not requested before.
        """
        self.position = state_dict

    def val_dataloader(self) -> DataLoader[dict[str, Tensor | str]]:
        """Loader of whole tracks, one at a time, without a batch axis."""
        return DataLoader(self.valid_tracks, batch_size=None)

    def test_dataloader(self) -> DataLoader[dict[str, Tensor | str]]:
        """Loader of the tracks of the test split as they are in the files, one at a time.

        Raises:
            InputError: there are none.
        """
        return DataLoader(WholeTracks(self.listed("test"), published=True), batch_size=None)

    predict_dataloader = test_dataloader
