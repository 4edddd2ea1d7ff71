"""Benchmark of BSS Eval against museval and of SI-SDR against torchmetrics, within one run.

python scripts/bench_metrics.py [seconds=240]

Every measurement of BSS Eval runs in a process of its own with one thread. Time is CPU time, which
other work on the machine hardly affects. Memory is the peak of the process minus its memory when
the sound was ready. The sound is four stereo stems at 44.1 kHz; windows are 1 s long, filters have
512 taps. Metrics on spectrograms are measured against SI-SDR.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

from auralflow_pl.metrics.base import MetricInput
from auralflow_pl.metrics.distortion import bss_eval
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.metrics.scores import SISDR
from auralflow_pl.metrics.spectral_scores import Bleedless, Fullness, L1Freq, MultiResolutionSTFT

RATE, STEMS, CHANNELS = 44100, 4, 2
CHUNKS, CHUNK_SECONDS, ROUNDS = 1000, 1, 7


class Cost(NamedTuple):
    """Time, memory and scores of one evaluation."""

    seconds: float  # CPU time
    megabytes: float
    scores: np.ndarray  # (4, targets, windows)


def sound(seconds: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates with noise and leakage from the other targets, and the targets."""
    torch.manual_seed(0)
    target = torch.randn(STEMS, CHANNELS, RATE * seconds)
    estimate = torch.empty_like(target)
    for number in range(STEMS):
        torch.add(target[number], target[number - 1], alpha=0.3, out=estimate[number])
        estimate[number] += 0.1 * torch.randn(CHANNELS, RATE * seconds)
    return estimate, target


def memory(key: str) -> float:
    """VmRSS or VmHWM of this process, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1e3


def measured(program: str, seconds: int) -> Cost:
    """Measure one program in this process."""
    torch.set_num_threads(1)
    estimate, target = sound(seconds)
    if program == "museval":
        metrics = museval_metrics()
        target, estimate = (x.double().movedim(1, 2).numpy() for x in (target, estimate))
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets the peak
    before, start = memory("VmRSS"), time.process_time()
    if program == "museval":
        scores = np.stack(metrics.bss_eval(target, estimate, RATE, RATE)[:4])
    else:
        scores = torch.stack(bss_eval(estimate, target, RATE, RATE)).numpy()
    return Cost(time.process_time() - start, memory("VmHWM") - before, scores)


def museval_metrics() -> object:
    """Import museval/metrics.py alone; the rest of museval needs ffmpeg."""
    folder = importlib.util.find_spec("museval").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("museval_metrics", Path(folder) / "metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(program: str, seconds: int) -> Cost:
    """Measure one program in a process of its own, in which NumPy has one thread too."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (program, seconds))


def bench_bss_eval(seconds: int) -> None:
    """Print time, memory and differences of BSS Eval."""
    costs = {}
    for program, length in (("ours", seconds // 4), ("ours", seconds), ("museval", seconds)):
        cost = costs[program, length] = run(program, length)
        print(
            f"{program:<8} {length:>4} s of sound: {cost.seconds:7.1f} s, {cost.megabytes:6.0f} MB",
            flush=True,
        )
    short, ours, theirs = costs.values()
    print(f"time: museval / ours = {theirs.seconds / ours.seconds:.1f}")
    print(f"memory: ours / museval = {ours.megabytes / theirs.megabytes:.2f}")
    print(f"four times the length: {ours.seconds / short.seconds:.1f} times the time")
    print(f"largest difference: {np.abs(ours.scores - theirs.scores).max():.1e} dB")


def bench_si_sdr() -> None:
    """Print the time of SI-SDR relative to torchmetrics, a median over alternating rounds."""
    torch.set_num_threads(1)
    estimate, target = torch.randn(2, CHUNKS, CHUNK_SECONDS * RATE)
    functions = {"ours": si_sdr, "torchmetrics": scale_invariant_signal_distortion_ratio}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            start = time.process_time()
            function(estimate, target)
            times[name].append(time.process_time() - start)
    ours, theirs = (statistics.median(times[name]) for name in ("ours", "torchmetrics"))
    print(f"SI-SDR of {CHUNKS} chunks: ours / torchmetrics = {ours / theirs:.2f} of the time")


def bench_spectral(seconds: int) -> None:
    """Print the time of metrics on spectrograms relative to SI-SDR, for the same sound."""
    estimate, target = sound(seconds)
    sounds = MetricInput(estimate, target, target.sum(0), RATE)
    times = {}
    for metric in (SISDR(), Bleedless(), Fullness(), L1Freq(), MultiResolutionSTFT()):
        start = time.process_time()
        metric.measure(sounds)
        times[type(metric).__name__] = time.process_time() - start
    base = times.pop("SISDR")
    ratios = ", ".join(f"{name} {taken / base:.1f}" for name, taken in times.items())
    print(f"{seconds} s of sound, times as long as SI-SDR: {ratios}")


def main() -> None:
    """Run all benchmarks."""
    arguments = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if not arguments.keys() <= {"seconds"}:
        sys.exit("error: expected seconds=<number>")
    bench_si_sdr()
    bench_spectral(30)
    bench_bss_eval(int(arguments.get("seconds", 240)))


if __name__ == "__main__":
    main()
