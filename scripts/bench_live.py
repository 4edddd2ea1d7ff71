"""Benchmark of separation in real time: latency, and real-time factor on one core.

python scripts/bench_live.py [ckpt=...] [seconds=20] [rounds=3] [cases=[4096/1024/1024,...]]
    [overrides=[]]

A case is n_fft/hop_length/block in samples. Networks are those of experiment=causal with random
weights, hearing up to 5.5 kHz at every n_fft, or that of `ckpt`, of which only the block is a
choice. Noise in stereo at 44.1 kHz is passed block by block, in alternation, in one thread.
- latency: samples and milliseconds from the first sample of a block to its estimate, the block
  included, without the time for computing,
- factor: CPU time of the process relative to the length of the sound, the median over rounds,
- 99 %: wall-clock time of a block that 99 % of all are below, relative to the length of a block,
- offline: CPU time of one pass over the whole signal, relative to that in blocks,
- difference: the largest between the estimates in blocks and those of one pass.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

import auralflow_pl
from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.separator.build import new_separator
from auralflow_pl.separator.separator import Separator

RATE = 44100

HEARD_BINS = 512  # of 4096 points, a quarter of the spectrum

WARM_BLOCKS = 8


@dataclass
class Options:
    """Options of the command line."""

    ckpt: str | None = None
    seconds: float = 20.0
    rounds: int = 3
    cases: list[str] = field(
        default_factory=lambda: [
            "4096/1024/1024",
            "4096/1024/512",
            "4096/1024/4096",
            "2048/512/1024",
            "2048/512/512",
            "1024/256/256",
        ]
    )
    overrides: list[str] = field(default_factory=list)


def built(n_fft: int, hop_length: int, options: Options) -> Separator:
    """Separator of experiment=causal, with another STFT, whose passes are whole."""
    whole = {"window_seconds": 600}
    if options.ckpt:
        return auralflow_pl.load(options.ckpt, **whole)
    sizes = [f"stft.n_fft={n_fft}", f"stft.win_length={n_fft}", f"stft.hop_length={hop_length}"]
    share = f"model.bandwidth={min(1.0, 2 * HEARD_BINS / n_fft)}"
    keys = ["experiment=causal", *sizes, share, *options.overrides]
    config = to_plain(compose("train", keys))
    separator = new_separator(config, config["data"]["stems"], **whole).eval()
    separator.network.simplify()
    return separator


def in_blocks(separator: Separator, block: int, sound: Tensor) -> tuple[Tensor, float, list[float]]:
    """Estimates, CPU seconds, and wall-clock seconds of every block."""
    stream = separator.realtime(block)
    for _ in range(WARM_BLOCKS):
        stream.push(torch.zeros(len(sound), block))
    stream.flush()
    parts, walls, began = [], [], time.process_time()
    for part in sound.split(block, -1):
        start = time.perf_counter()
        parts.append(stream.push(part))
        walls.append(time.perf_counter() - start)
    parts.append(stream.flush())
    return torch.cat(parts, -1), time.process_time() - began, walls


def bench(case: str, options: Options, sound: Tensor) -> str:
    """Measure a case; one line of the table."""
    n_fft, hop_length, block = map(int, case.split("/"))
    separator = built(n_fft, hop_length, options)
    if options.ckpt:
        n_fft, hop_length = separator.stft.n_fft, separator.stft.hop_length
    taken, offline, walls = [], [], []
    for _ in range(options.rounds):
        found, seconds, each = in_blocks(separator, block, sound)
        taken.append(seconds)
        walls += each
        start = time.process_time()
        expected = separator(sound)
        offline.append(time.process_time() - start)
    difference = float((found - expected).abs().max())
    stream, length = separator.realtime(block), sound.shape[-1] / RATE
    return (
        f"{n_fft}/{hop_length:<5} {block:>5} {stream.latency:>7} "
        f"{1000 * stream.latency_seconds:>7.1f} ms {statistics.median(taken) / length:>7.3f} "
        f"{np.quantile(walls, 0.99) / (block / RATE):>7.2f} "
        f"{statistics.median(offline) / statistics.median(taken):>8.2f} {difference:>11.1e}"
    )


def main() -> None:
    """Print a line for each case."""
    given = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    options: Options = OmegaConf.to_object(given)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sound = 0.1 * torch.randn(2, round(options.seconds * RATE))
    print("STFT       block latency              factor    99 %  offline  difference")
    for case in options.cases:
        print(bench(case, options, sound), flush=True)


if __name__ == "__main__":
    main()
