"""Benchmark of inference engines on the CPU, for every network, within one run.

python scripts/bench_engines.py [networks=[simple,lstm,vae]] [seconds=5] [rounds=5] [threads=2]
    [overrides=[]]

Networks have default settings (n_fft 1024, hop 512, mono) and random weights. Inputs are windows of
`seconds`. For each network, times of a forward pass are given as ratios to torch in eager mode
without `simplify()`:
- simplified: torch in eager mode after `simplify()`, as with engine=torch,
- bf16: simplified, under autocast to bfloat16, in one round,
- onnx: as with engine=onnx,
- 1 thread: CPU time of onnx relative to the network before `simplify()`, both with one thread,
- difference: largest difference between the masks of onnx and torch,
- export: seconds to export the graph, which is then cached, and to load it.
The last lines compare the Wiener filter with that of open-unmix on stereo spectrograms of 10 s.
Results are medians over alternating rounds.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import torch
from omegaconf import OmegaConf
from openunmix.filtering import wiener as open_unmix_wiener
from torch import Tensor

from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.models.base import MaskEstimator
from auralflow_pl.separator.build import make_network
from auralflow_pl.separator.engines.onnx import OnnxNetwork, export_onnx
from auralflow_pl.signal.wiener import wiener_filter

FREQ, FRAMES_PER_SECOND = 513, 44100 / 512


@dataclass
class Options:
    """Options of the command line."""

    networks: list[str] = field(default_factory=lambda: ["simple", "lstm", "vae"])
    seconds: float = 5.0
    rounds: int = 5
    threads: int = os.cpu_count() or 1
    overrides: list[str] = field(default_factory=list)


def built(name: str, overrides: list[str]) -> MaskEstimator:
    """Make a network whose normalisations have statistics of noise."""
    config = compose("train", [f"model={name}", *overrides])
    network = make_network(to_plain(config.model), 1).train()
    with torch.no_grad():
        network(torch.rand(2, 1, FREQ, 100))
    return network.eval()


def medians(
    works: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median times of several functions in alternating rounds after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = clock()
            work()
            times[name].append(clock() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def masks(network: MaskEstimator, magnitude: Tensor, bf16: bool = False) -> Callable[[], Tensor]:
    """Make a function that runs a forward pass."""

    def work() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return network(magnitude).mask

    return work


@torch.inference_mode()
def measure(name: str, options: Options) -> dict[str, float]:
    """Measure the times of all engines; runs in a process of its own."""
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    network = built(name, options.overrides)
    simplified = copy.deepcopy(network)
    simplified.simplify()
    start = time.perf_counter()
    with torch.inference_mode(False):
        content, difference = export_onnx(network, 1, FREQ, {})
    made = time.perf_counter()
    graph = OnnxNetwork(content, 1, 1, FREQ)
    loaded = time.perf_counter()
    magnitude = torch.rand(1, 1, FREQ, round(options.seconds * FRAMES_PER_SECOND)) * 5
    works = {
        "built": masks(network, magnitude),
        "simplified": masks(simplified, magnitude),
        "onnx": masks(graph, magnitude),
    }
    times = medians(works, options.rounds, time.perf_counter)
    bf16 = {"built": works["built"], "bf16": masks(simplified, magnitude, bf16=True)}
    slow = medians(bf16, 1, time.perf_counter)  # takes minutes on processors without bfloat16
    torch.set_num_threads(1)
    single = {"built": works["built"], "onnx": masks(OnnxNetwork(content, 1, 1, FREQ), magnitude)}
    alone = medians(single, options.rounds, time.process_time)
    return times | {
        "bf16": slow["bf16"] / slow["built"],
        "one": alone["onnx"] / alone["built"],
        "difference": difference,
        "export": made - start,
        "load": loaded - made,
    }


@torch.inference_mode()
def filters(options: Options) -> tuple[float, float]:
    """Time of the Wiener filter relative to that of open-unmix, and the largest difference."""
    torch.set_num_threads(options.threads)
    frames = round(10 * FRAMES_PER_SECOND)
    sources = torch.randn(4, 2, FREQ, frames, dtype=torch.complex64)
    mixture = sources.sum(0)
    theirs_in = sources.abs().permute(3, 2, 1, 0), torch.view_as_real(mixture.permute(2, 1, 0))
    works = {
        "ours": lambda: wiener_filter(sources.abs(), mixture),
        "theirs": lambda: open_unmix_wiener(*theirs_in, iterations=1),
    }
    times = medians(works, options.rounds, time.perf_counter)
    theirs = torch.view_as_complex(works["theirs"]().permute(4, 2, 1, 0, 3).contiguous())
    difference = (works["ours"]() - theirs).abs().max() / mixture.abs().max()
    return times["ours"] / times["theirs"], float(difference)


def main() -> None:
    """Measure all networks and print a table."""
    options = OmegaConf.to_object(
        OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    )
    print(f"{options.threads} threads; times as ratios to the network as it was built")
    print("network    simplified   bf16   onnx  1 thread  difference  export    load")
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for name in options.networks:
            times = pool.submit(measure, name, options).result()
            base = times["built"]
            print(
                f"{name:<11}{times['simplified'] / base:>10.2f}"
                f"{times['bf16']:>7.2f}{times['onnx'] / base:>7.2f}{times['one']:>10.2f}"
                f"{times['difference']:>12.1e}{times['export']:>7.1f} s{times['load']:>6.1f} s",
                flush=True,
            )
        ratio, difference = pool.submit(filters, options).result()
    print(f"Wiener filter: {ratio:.2f} times as long as open-unmix's, differs by {difference:.0e}")


if __name__ == "__main__":
    main()
