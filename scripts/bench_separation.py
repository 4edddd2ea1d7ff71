"""Benchmark of separation without its network: time, memory, and the effect of windows.

python scripts/bench_separation.py [part=memory,overhead,seams] [minutes=10,100,180]
    [networks=simple,lstm,vae] [network_minutes=1,5] [engines=torch,onnx] [formats=wav,mp3]
    [seconds=75] [rounds=7]
    [overrides=model.width=16,...]

memory: peak resident memory and CPU time of the command for stereo files of several lengths, each
    run in a process of its own: with a tiny network for `minutes`, with those of configs/model for
    `network_minutes`.
overhead: time relative to the network alone on the same windows, of `Separator.stream`
    (resampling, windows, transforms, masks) and of the whole command (also reading, digests,
    rounding, loudness, writing, reports, residual), which decodes and writes in threads of their
    own. It is given by the clock, as CPU time of the thread with the network, and as CPU time of
    all threads. Files of each of `formats`, one thread of the engine, alternating rounds, medians.
seams: ratio in dB of the signal to the difference between separation in windows and in a single
    pass, in the span of every seam.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch

import auralflow_pl
from auralflow_pl.checkpoints.trained import CHECKPOINT_FORMAT, CHECKPOINT_KEY, NETWORK_PREFIX
from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.separator.build import new_separator
from auralflow_pl.separator.separator import Separator
from auralflow_pl.stems.inputs import InputFile
from auralflow_pl.stems.job import StemJob
from auralflow_pl.stems.loading import LoadedModel
from auralflow_pl.stems.outputs import OutputTemplate, StemOptions
from auralflow_pl.system.heap import reuse_freed_memory, share_one_heap

RATE = 44100
DEFAULTS = {
    "part": "memory,overhead,seams",
    "minutes": "10,100,180",
    "networks": "simple,lstm,vae",
    "network_minutes": "1,5",
    "engines": "torch,onnx",
    "formats": "wav,mp3",
    "seconds": "75",
    "rounds": "7",
    "overrides": "",
}
# A process inherits the peak memory of its parent, so a small process starts the command.
LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, flush=True)
sys.exit(bool(status))
"""
TINY = ("model=simple", "model.width=2", "model.levels=3")


def make(*overrides: str, channels: int = 1) -> tuple[Separator, dict]:
    """Make a separator with random weights and normalisations fitted to the material."""
    torch.manual_seed(0)
    config = to_plain(compose("train", [*overrides, f"audio.channels={channels}"]))
    separator = new_separator(config, config["data"]["stems"])
    separator.train()
    with torch.no_grad():
        for _ in range(30):
            separator.separate_chunk(material(2, channels)[None])
    return separator.eval(), config


def material(seconds: float, channels: int) -> torch.Tensor:
    """Noise with changing level and spectrum, `(channels, time)`."""
    noise = torch.randn(channels, int(seconds * RATE))
    time = torch.arange(noise.shape[-1]) / RATE
    return torch.cumsum(noise, -1).diff(dim=-1, prepend=noise[:, :1]) * (
        0.1 + 0.09 * torch.sin(2 * torch.pi * time / 3)
    )


def save(separator: Separator, config: dict, path: Path) -> Path:
    """Write a checkpoint."""
    weights = {f"{NETWORK_PREFIX}{k}": v for k, v in separator.network.state_dict().items()}
    torch.save(
        {"state_dict": weights, CHECKPOINT_KEY: {"format": CHECKPOINT_FORMAT, "config": config}},
        path,
    )
    return path


def write_noise(path: Path, minutes: float) -> Path:
    """Write a 16-bit stereo file."""
    block = np.random.default_rng(0).integers(-9000, 9000, (RATE, 2), np.int16)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for second in range(round(minutes * 60)):
            file.write(np.roll(block, 997 * second, axis=0))
    return path


def run_command(*arguments: str) -> tuple[float, float]:
    """Peak memory in MiB and CPU seconds of `separate.py`, run in a process with one thread."""
    script = Path(__file__).resolve().parents[1] / "separate.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # idle threads spin
    command = [sys.executable, "-c", LAUNCHER, sys.executable, str(script), *arguments]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        sys.exit("error: the command failed")
    peak, seconds = map(float, run.stdout.split()[-2:])
    return peak / 1024, seconds


def memory(
    folder: Path, label: str, overrides: tuple[str, ...], minutes: list[float], engine: str
) -> None:
    """Print memory and time of the command by length."""
    label = f"{label}, {engine}"
    ckpt = save(*make(*overrides), folder / "model.ckpt")
    rows = []
    for length in [1 / 60, 1 / 60, *minutes]:  # the first exports the ONNX graph
        source = write_noise(folder / "noise.wav", length)
        rows.append(
            run_command(
                f"ckpt={ckpt}",
                f"input={source}",
                f"output={folder / 'out'}",
                "overwrite=true",
                f"engine={engine}",
            )
        )
        source.unlink()
    _, (_, start), *rows = rows
    for length, (peak, seconds) in zip(minutes, rows, strict=True):
        each = f"{(seconds - start) / length:.3f} CPU seconds a minute"
        print(f"{label:<16}{length:>6.0f} min: peak {peak:.0f} MiB, {each}")
    growth = rows[-1][0] - rows[0][0]
    linear = (rows[-1][1] - start) / minutes[-1] / ((rows[0][1] - start) / minutes[0])
    print(f"{label:<16}memory {growth:+.0f} MiB, time per minute times {linear:.3f}", flush=True)


class Duration(NamedTuple):
    """Seconds by the clock, and of CPU time, which other programs hardly affect."""

    clock: float
    own_thread: float
    all_threads: float


def duration(work: Callable[[], object]) -> Duration:
    """Duration of `work`."""
    clocks = (time.perf_counter, time.thread_time, time.process_time)
    started = [clock() for clock in clocks]
    work()
    return Duration(*(clock() - start for clock, start in zip(clocks, started, strict=True)))


@torch.inference_mode()
def overhead(
    folder: Path, overrides: list[str], engine: str, form: str, length: float, count: int
) -> None:
    """Print the time of the whole command relative to the network alone, with one thread.

    Args:
        folder: folder for the files.
        overrides: network of configs/model and its keys.
        engine: engine of the network.
        form: format of the song, such as mp3.
        length: seconds of sound.
        count: number of rounds.
    """
    torch.set_num_threads(1)
    share_one_heap()  # as in the command
    ckpt = save(*make(*overrides, channels=2), folder / "model.ckpt")
    separator = auralflow_pl.load(ckpt, engine=engine)
    reuse_freed_memory()
    audio = material(length, 2)
    source = folder / f"song.{form}"
    soundfile.write(source, audio.T.numpy(), RATE)
    job = StemJob(
        [LoadedModel("", "", separator, {})],
        OutputTemplate.of(str(folder / "out")),
        StemOptions(residual=True),
        torch.device("cpu"),
        overwrite=True,
    )
    windows = separator.windows
    magnitudes = [
        separator.stft(audio[None, :, start : start + windows.length]).abs()
        for start in range(0, audio.shape[-1] - windows.length + windows.hop, windows.hop)
    ]

    def whole() -> None:
        job.run(InputFile(source, "song"), sys.stdin.buffer, lambda *_: True)

    def alone() -> None:
        for magnitude in magnitudes:
            separator.network(magnitude)

    def stream() -> None:
        for _ in separator.stream(audio.split(2**16, -1)):
            pass

    whole()
    rounds = [(duration(alone), duration(stream), duration(whole)) for _ in range(count)]
    for label, column in (("Separator.stream", 1), ("whole path", 2)):
        for measure, name in enumerate(Duration._fields):
            ratios = sorted(times[column][measure] / times[0][measure] for times in rounds)
            middle, span = statistics.median(ratios), f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
            what = f"{overrides[0]}, {engine}, {form}: {label} / network alone, {name}"
            print(f"{what:<72}{middle:.3f} ({span})", flush=True)


@torch.inference_mode()
def seams(label: str, *overrides: str) -> None:
    """Print the difference between windows and a single pass."""
    separator, _ = make(*overrides)
    windows = separator.windows
    audio = material(3.2 * windows.hop / RATE + windows.length / RATE, 1)
    chunked = separator(audio)[0]
    separator.windows = replace(windows, length=audio.shape[-1])
    whole = separator(audio)[0]
    levels = []
    for start in range(windows.hop, audio.shape[-1] - windows.length // 2, windows.hop):
        span = slice(start, start + windows.length - windows.hop)
        error = (chunked - whole)[..., span].square().sum()
        levels.append(float(10 * torch.log10(whole[..., span].square().sum() / error)))
    shown = ", ".join(f"{level:.0f}" for level in levels)
    print(
        f"{label:<22}windows of {windows.length / RATE:.0f} s against one pass: {shown} dB",
        flush=True,
    )


def main() -> None:
    """Run the parts that are named on the command line."""
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if not set(given) <= set(DEFAULTS):
        sys.exit(__doc__)
    values = {key: given.get(key, default).split(",") for key, default in DEFAULTS.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = [override for override in values["overrides"] if override]
        networks = [network for network in values["networks"] if network]
        if "memory" in values["part"]:
            for engine in values["engines"]:
                memory(folder, "tiny", TINY, [float(m) for m in values["minutes"]], engine)
                for network in networks:
                    lengths = [float(m) for m in values["network_minutes"]]
                    memory(folder, network, (f"model={network}", *own), lengths, engine)
        if "overhead" in values["part"]:
            given = float(values["seconds"][0]), int(values["rounds"][0])
            kinds = product(networks, values["engines"], values["formats"])
            for network, engine, form in kinds:
                overhead(folder, [f"model={network}", *own], engine, form, *given)
        if "seams" in values["part"]:
            for network in networks:
                seams(network, f"model={network}", "model.width=8", *own)
            fine = ("stft.n_fft=4096", "stft.hop_length=1024", "model.bandwidth=0.25")
            seams("simple, hop 1024", "model=simple", "model.width=8", *fine, *own)


if __name__ == "__main__":
    main()
