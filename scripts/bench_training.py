"""Benchmark of an epoch under Lightning with callbacks and logging, relative to a bare loop.

python scripts/bench_training.py [steps=40] [rounds=3] [device=cpu] [overrides=[model=simple,...]]

Both train the same network from the same state on the same chunks (synthetic songs, from the pool,
drawn in this process), with the same loss, clipping and optimizer. The first uses the task, data
module and Trainer of the command with `callbacks=default` and `logger=tensorboard`; it writes the
checkpoint at the end of the epoch and does not validate. The second is a loop of a few lines.
Rounds alternate. The results are medians of the ratios of wall time and of CPU time; other work on
the machine affects CPU time least.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.config.compose import compose
from auralflow_pl.data.targets import sum_stems
from auralflow_pl.system.heap import keep_freed_memory
from auralflow_pl.training.build import build_data, build_task, build_trainer
from auralflow_pl.training.data_module import StemDataModule
from auralflow_pl.training.run import quiet_libraries
from auralflow_pl.training.task import SeparationTask

Clock = tuple[float, float]  # wall and CPU time, in seconds


@dataclass
class Options:
    """Options of the command line."""

    steps: int = 40
    rounds: int = 3
    device: str = "cpu"  # or cuda
    overrides: list[str] = field(default_factory=list)


def now() -> Clock:
    """Present wall and CPU time in seconds, when all devices have done their work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


class Stopwatch(pl.Callback):
    """Measures the time of the training without validation."""

    def __init__(self) -> None:
        self.total = (0.0, 0.0)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the time of the block."""
        self.start()
        yield
        self.stop()

    def start(self, *_: object) -> None:
        """Store the time of the beginning."""
        self.began = now()

    def stop(self, *_: object) -> None:
        """Add the time since the beginning."""
        spent = (end - start for end, start in zip(now(), self.began, strict=True))
        self.total = tuple(a + b for a, b in zip(self.total, spent, strict=True))

    on_train_epoch_start = start
    on_validation_start = stop
    on_validation_end = start
    on_train_end = stop


def configure(folder: str, options: Options) -> DictConfig:
    """Compose the default configuration for one epoch."""
    keys = [
        f"paths.run_dir={folder}",
        "data.num_workers=0",
        "data.max_tracks=8",
        "scheduler=none",
        "silent=true",
        "trainer.max_epochs=1",
        f"trainer.accelerator={options.device}",
        *options.overrides,
    ]
    chunks = options.steps * compose("train", keys).data.batch_size
    return compose("train", [*keys, f"data.chunks_per_epoch={chunks}"])


def under_trainer(config: DictConfig, data: StemDataModule) -> Clock:
    """Time of an epoch as in `train.py`."""
    watch = Stopwatch()
    trainer = build_trainer(config)
    trainer.callbacks.insert(0, watch)
    trainer.fit(build_task(config), datamodule=data)
    return watch.total


def bare(config: DictConfig, data: StemDataModule) -> Clock:
    """Time of the same epoch as a bare loop."""
    device = torch.device(config.trainer.accelerator)
    task: SeparationTask = build_task(config).to(device)
    separator, (loss,) = task.separator.train(), task.losses.values()
    optimizer = task.make_optimizer(task)
    loader = data.train_dataloader()
    watch = Stopwatch()
    with watch.measure():
        for batch in loader:
            mixture, stems = (batch[key].to(device) for key in ("mixture", "stems"))
            target = sum_stems(stems, task.stems, separator.target_stems)
            with torch.autocast(
                device.type, torch.bfloat16, enabled="bf16" in config.precision.precision
            ):
                separation = separator.separate_chunk(mixture, target)
                total = loss(separation) + sum(separation.penalties.values())
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), config.trainer.gradient_clip_val)
            optimizer.step()
    return watch.total


def measure(options: Options) -> Clock:
    """Run both in turns, print the ratios of each round, and return the medians."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for number in itertools.count(-1):  # the first round warms up
            config = configure(f"{folder}/{number}", options)
            quiet_libraries(silent=True)
            pl.seed_everything(0, verbose=False)
            data = build_data(config)
            data.prepare_data()
            data.setup("fit")
            loop = bare(config, data)
            ours = under_trainer(config, data)
            if number >= 0:
                ratios.append([a / b for a, b in zip(ours, loop, strict=True)])
                print(f"round {number + 1}: wall {ratios[-1][0]:.3f}, CPU {ratios[-1][1]:.3f}")
            if number + 1 == options.rounds:
                break
    wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    return wall, cpu


def main() -> None:
    """Measure, and print the ratios."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    options = OmegaConf.to_object(options)
    keep_freed_memory()
    logging.disable(logging.INFO)
    wall, cpu = measure(options)
    print(f"{options.steps} steps under Lightning / bare loop: wall {wall:.3f}, CPU {cpu:.3f}")


if __name__ == "__main__":
    sys.exit(main())
