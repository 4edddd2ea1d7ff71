"""Benchmark of a training step and a forward pass, for every network, within one run.

python scripts/bench_models.py [networks=[simple,lstm,vae]] [steps=6] [rounds=3] [threads=2]
    [overrides=[]]

Networks have the default settings (n_fft 1024, hop 512, mono, width 16); batches are 8 chunks of 3
seconds; the loss is l1. For each network it prints
- parameters, GFLOP of a forward pass per second of audio (without those inside LSTMs, which torch's
  counter does not count), and peak memory of training,
- step: time of a step under SeparationTask and Trainer relative to a bare loop with the same
  network, loss, optimizer and clipping,
- bf16: speed of a bare step with precision=bf16 relative to fp32 with the default memory format;
  nan, and steps in fp32, on processors without instructions for it,
- forward: time of the simplified network with channels last in fp32, relative to the network before
  `simplify()` with the default memory format,
- peak: throughput of this forward pass as a share of that of large matrix products, in fp32 and
  bf16.
Ratios are medians over alternating rounds. The last line is the effect of keeping freed memory.
"""

from __future__ import annotations

import copy
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import build
from auralflow_pl.system.device import computes_in_bfloat16
from auralflow_pl.system.heap import keep_freed_memory
from auralflow_pl.training.build import build_task
from auralflow_pl.training.task import SeparationTask

BATCH, SECONDS, RATE = 8, 3, 44100


@dataclass
class Options:
    """Options of the command line."""

    networks: list[str] = field(default_factory=lambda: ["simple", "lstm", "vae"])
    steps: int = 6
    rounds: int = 3
    threads: int = os.cpu_count() or 1
    overrides: list[str] = field(default_factory=list)


@dataclass
class Row:
    """Results of one network."""

    network: str
    parameters: float  # millions
    gflop: float  # of a forward pass, per second of audio
    memory: float  # peak of training in GiB
    step: float
    bf16: float
    forward: float
    peak: float
    peak_bf16: float


class Stopwatch(pl.Callback):
    """Measures the time from the start of a step to the start of the next."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: object) -> None:
        """Store the time."""
        self.starts.append(time.perf_counter())

    def median(self) -> float:
        """Median time of a step in seconds, without the first."""
        return statistics.median(b - a for a, b in pairwise(self.starts[1:]))


def configure(network: str, precision: str, overrides: list[str]) -> DictConfig:
    """Compose the configuration of a network."""
    fixed = [f"model={network}", f"precision={precision}", "scheduler=none"]
    return compose("train", fixed + overrides)


def precisions() -> list[str]:
    """Values of `precision` to measure: bf16 only where the processor has instructions for it."""
    return ["fp32", "bf16"] if computes_in_bfloat16("cpu") else ["fp32"]


def batches(count: int) -> list[dict[str, Tensor]]:
    """Make training batches of noise."""
    stems = torch.randn(count, BATCH, 4, 1, SECONDS * RATE) * 0.1
    return [{"mixture": s.sum(1), "stems": s} for s in stems]


def autocast(precision: str) -> AbstractContextManager[object]:
    """Autocast of a bare loop for a setting of `precision`."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def under_trainer(task: SeparationTask, config: DictConfig, data: list[dict[str, Tensor]]) -> float:
    """Seconds per step under the Trainer."""
    watch = Stopwatch()
    trainer = build(
        config.trainer,
        max_epochs=1,
        precision=config.precision.precision,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(task, DataLoader(data, batch_size=None))
    return watch.median()


def bare(task: SeparationTask, precision: str, data: list[dict[str, Tensor]]) -> float:
    """Seconds per step of network, loss, optimizer and clipping alone."""
    separator, (loss,) = task.separator.train(), task.losses.values()
    optimizer = task.make_optimizer(separator)
    times = []
    for batch in data:
        start = time.perf_counter()
        with autocast(precision):
            separation = separator.separate_chunk(batch["mixture"], batch["stems"][:, :1])
            total = loss(separation) + sum(separation.penalties.values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(separator.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Best time of several runs in seconds."""
    return min(timed(work, repeats))


def timed(work: Callable[[], object], repeats: int) -> Iterator[float]:
    """Yield the times of repeated runs in seconds, after a warm-up."""
    work()
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        yield time.perf_counter() - start


def matmul_rate(dtype: torch.dtype) -> float:
    """Throughput of a large matrix product in GFLOP/s."""
    size = 2048
    a, b = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    return 2 * size**3 / seconds(lambda: a @ b) / 1e9


def measure(network: str, options: Options) -> Row:
    """Measure all results of one network; runs in a process of its own."""
    torch.set_num_threads(options.threads)
    pl.seed_everything(0, verbose=False)
    keep_freed_memory()
    data = batches(options.steps + 2)
    configs = {name: configure(network, name, options.overrides) for name in precisions()}
    plain_task = build_task(configs["fp32"])
    plain_task.separator.network.to(memory_format=torch.contiguous_format)
    tasks = {precision: build_task(config) for precision, config in configs.items()}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best, steps, gains = precisions()[-1], [], []
    for _ in range(options.rounds):
        loop = bare(tasks[best], best, data)
        steps.append(under_trainer(tasks[best], configs[best], data) / loop)
        gains.append(bare(plain_task, "fp32", data) / loop)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    built = plain_task.separator.eval().network
    magnitude = plain_task.separator.stft(data[0]["mixture"]).abs()
    simple = copy.deepcopy(built)
    simple.simplify()
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            built(magnitude)
        flop = counter.get_total_flops() / 1e9
        ratios, times = [], {precision: [] for precision in configs}
        for _ in range(options.rounds):
            for precision, values in times.items():
                with autocast(precision):
                    values.append(seconds(lambda: simple(magnitude)))
            ratios.append(times["fp32"][-1] / seconds(lambda: built(magnitude)))
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    shares = {p: flop / min(times[p]) / matmul_rate(types[p]) for p in times}
    return Row(
        network,
        sum(p.numel() for p in built.parameters()) / 1e6,
        flop / (BATCH * SECONDS),
        memory,
        statistics.median(steps),
        statistics.median(gains) if best == "bf16" else math.nan,
        statistics.median(ratios),
        shares["fp32"],
        shares.get("bf16", math.nan),
    )


def default_step(keep: bool, options: Options) -> float:
    """Seconds per bare step of the simple network, with or without keeping freed memory."""
    torch.set_num_threads(options.threads)
    if keep:
        keep_freed_memory()
    precision = precisions()[-1]
    config = configure("simple", precision, options.overrides)
    return bare(build_task(config), precision, batches(options.steps + 4))


def main() -> None:
    """Measure all networks and print a table."""
    options = OmegaConf.to_object(
        OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    )
    context = get_context("spawn")
    print("network    parameters  GFLOP/s  memory    step   bf16  forward    peak  peak bf16")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for network in options.networks:
            row = pool.submit(measure, network, options).result()
            print(
                f"{row.network:<11}{row.parameters:>8.2f} M{row.gflop:>9.2f}{row.memory:>6.1f} G"
                f"{row.step:>8.2f}{row.bf16:>7.2f}{row.forward:>9.2f}{row.peak:>8.0%}"
                f"{row.peak_bf16:>11.0%}",
                flush=True,
            )
        kept, freed = (
            statistics.median(
                pool.submit(default_step, keep, options).result() for _ in range(options.rounds)
            )
            for keep in (True, False)
        )
    print(f"a step that keeps freed memory / one that returns it: {kept / freed:.2f}")


if __name__ == "__main__":
    sys.exit(main())
