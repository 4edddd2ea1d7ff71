"""Measure training, separation and scoring on a GPU, as a table for docs/benchmarks.md.

    python scripts/gpu/bench.py out=<folder> [device=cuda] [rounds=5] [steps=20]
        [networks=[simple,lstm,vae]] [seconds=240] [files=8] [parts=[...]] [overrides=[...]]

prints a Markdown table with the name of the card, and writes it to `<out>/bench.md`. `parts` are
some of `training` (a step of each network in fp32, bf16, with torch.compile, and in both layouts of
memory; its share of the bandwidth of the card; and an epoch under Lightning over a bare loop),
`separation` (one song of `seconds` seconds, and a folder of `files` songs a quarter as long, as
times real time), `scoring` (BSS Eval of four stems) and `published` (open-unmix here and by
openunmix). Times are medians of `rounds`, after one more that is not counted; a round of training
has `steps` steps. `overrides` are keys of `train`, such as `data.batch_size=32`.

The bandwidth of the card is that of a copy, bytes read and written. A step is assumed to move every
stored activation four times (written, read, and its gradient as well) and 28 bytes per weight
(weight, gradient and both averages of Adam). A share above 100 % means that activations stayed in
caches.
"""

from __future__ import annotations

import importlib.util
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import soundfile
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from auralflow_pl.commands.separate import separate
from auralflow_pl.config.compose import compose
from auralflow_pl.errors import InputError, did_you_mean, one_line
from auralflow_pl.metrics.distortion import bss_eval
from auralflow_pl.separator.load import load_separator
from auralflow_pl.system.device import choose_device, device_name, wait_for
from auralflow_pl.system.files import write_text
from auralflow_pl.training.build import build_task
from auralflow_pl.training.callbacks.preflight import parameter_counts, step_cost
from auralflow_pl.training.task import SeparationTask

RATE = 44100
COPY_BYTES = {"cuda": 2**31, "cpu": 2**26}
VARIANTS = {  # of a training step, by name
    "fp32": ("precision=fp32",),
    "fp32, channels first": ("precision=fp32", "precision.channels_last=false"),
    "bf16": ("precision=bf16",),
    "bf16, channels first": ("precision=bf16", "precision.channels_last=false"),
    "bf16, compiled": ("precision=bf16", "compile=true"),
}
Row = tuple[str, str]


@dataclass
class Options:
    """Options of the command line."""

    out: str = "???"
    device: str = "cuda"
    rounds: int = 5
    steps: int = 20
    networks: list[str] = field(default_factory=lambda: ["simple", "lstm", "vae"])
    variants: list[str] = field(default_factory=lambda: list(VARIANTS))
    seconds: float = 240.0
    files: int = 8
    parts: list[str] = field(
        default_factory=lambda: ["training", "separation", "scoring", "published"]
    )
    overrides: list[str] = field(default_factory=list)


def other_script(name: str) -> object:
    """Module of a script in `scripts/`, which is no package."""
    folder = str(Path(__file__).resolve().parents[1])
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def median_seconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Median time of `work` on a device over `rounds`, after one round more."""
    times = []
    for _ in range(rounds + 1):
        wait_for(device)
        start = time.perf_counter()
        work()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def copied_per_second(device: torch.device, rounds: int) -> float:
    """Bytes per second of a copy on the device, read and written."""
    source = torch.ones(COPY_BYTES[device.type] // 4, device=device)
    target = torch.empty_like(source)
    seconds = median_seconds(lambda: target.copy_(source), device, rounds)
    return 2 * source.numel() * source.element_size() / seconds


def one_step(
    task: SeparationTask, batch: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """A training step without Lightning, in the precision of the configuration."""
    number_format = torch.bfloat16 if "bf16" in task.config["precision"]["precision"] else None
    with torch.autocast(task.device.type, number_format, enabled=number_format is not None):
        loss = task.loss_parts(batch)["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def measured_steps(options: Options, device: torch.device) -> Iterator[Row]:
    """Time of a step of every network in every variant, and its share of the bandwidth."""
    bandwidth = copied_per_second(device, options.rounds)
    yield "copy of memory, read and written", f"{bandwidth / 1e9:.0f} GB/s"
    for network in options.networks:
        for name in options.variants:
            keys = [f"model={network}", "scheduler=none", *VARIANTS[name], *options.overrides]
            config = compose("train", keys)
            task = build_task(config).to(device).train()
            size, seconds = config.data.batch_size, config.chunk_seconds
            time = round(seconds * task.separator.sample_rate)
            stems = 0.1 * torch.randn(
                size, len(task.stems), task.separator.channels, time, device=device
            )
            batch = {"mixture": stems.sum(1), "stems": stems}
            work = partial(one_step, task, batch, task.make_optimizer(task))
            for _ in range(2):
                work()
            per_step = median_seconds(
                lambda work=work: [work() for _ in range(options.steps)], device, options.rounds
            )
            per_step /= options.steps
            data = SimpleNamespace(
                batch_size=size,
                channels=task.separator.channels,
                chunk_seconds=seconds,
                sample_rate=task.separator.sample_rate,
            )
            share = moved_bytes(task, data) / per_step / bandwidth
            yield (
                f"step of `{network}`, {size} chunks of {seconds:g} s, {name}",
                f"{1000 * per_step:.1f} ms, {size / per_step:.0f} chunks/s, "
                f"{100 * share:.0f} % of the bandwidth",
            )


def moved_bytes(task: SeparationTask, data: SimpleNamespace) -> float:
    """Bytes that a step has to move, see the top of the file."""
    parameters, trained = parameter_counts(task)
    activations = step_cost(task, data).memory - 4.0 * (parameters + 3 * trained)
    half = task.config["precision"]["precision"] != "32-true"
    return 4 * activations / (2 if half else 1) + 28.0 * trained


def training(options: Options, device: torch.device) -> Iterator[Row]:
    """Rows on training."""
    yield from measured_steps(options, device)
    script = other_script("bench_training")
    given = script.Options(options.steps, max(1, options.rounds // 2), device.type)
    given.overrides = options.overrides
    with redirect_stdout(sys.stderr):  # its rounds are no part of the table
        wall, cpu = script.measure(given)
    yield (
        f"{options.steps} steps under Lightning over a bare loop",
        f"wall {wall:.3f}, CPU {cpu:.3f}",
    )


def noise(seconds: float) -> Tensor:
    """Stereo noise `(2, time)`."""
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(2, round(seconds * RATE), generator=generator)


def separation(options: Options, device: torch.device) -> Iterator[Row]:
    """Rows on separation with the packaged model."""
    song = noise(options.seconds)
    for size, precision in ((1, "fp32"), (8, "fp32"), (8, "bf16")):
        separator = load_separator(batch_size=size, precision=precision).to(device)
        sound = song.to(device)

        def whole(separator: torch.nn.Module = separator, sound: Tensor = sound) -> None:
            with torch.inference_mode():
                for _ in separator.stream(sound.split(RATE, -1)):
                    pass

        seconds = median_seconds(whole, device, options.rounds)
        yield (
            f"a song of {options.seconds:g} s, in memory, {size} windows at a time, {precision}",
            f"{options.seconds / seconds:.0f} times real time",
        )
    with tempfile.TemporaryDirectory() as folder:
        part = options.seconds / 4
        (Path(folder) / "songs").mkdir()
        for number in range(options.files):
            path = Path(folder) / "songs" / f"{number}.wav"
            soundfile.write(path, noise(part).T.numpy(), RATE)
        keys = [f"input={folder}/songs", f"output={folder}/stems", f"device={device}"]
        config = compose(
            "separate", [*keys, "engine=torch", "overwrite=true", "separation.batch_size=8"]
        )
        start = time.perf_counter()
        with redirect_stdout(sys.stderr):  # nor are the names of the stems
            separate(config)
        seconds = time.perf_counter() - start
        yield (
            f"{options.files} files of {part:g} s with `separate`, read and written",
            f"{options.files * part / seconds:.0f} times real time",
        )


def scoring(options: Options, device: torch.device) -> Iterator[Row]:
    """Rows on BSS Eval."""
    length = options.seconds / 4
    target = torch.stack([noise(length).roll(shift, -1) for shift in range(4)])
    estimate = target + 0.01 * torch.randn_like(target)
    times = {}
    for place in (torch.device("cpu"), device):
        pair = (estimate.to(place), target.to(place))
        work = partial(bss_eval, *pair, window=RATE)
        times[place.type] = median_seconds(work, place, max(1, options.rounds // 2))
    yield (
        f"BSS Eval of four stereo stems of {length:g} s: CPU, device, ratio",
        f"{times['cpu']:.2f} s, {times[device.type]:.2f} s, "
        f"{times['cpu'] / times[device.type]:.1f}",
    )


def published(options: Options, device: torch.device) -> Iterator[Row]:
    """Rows on open-unmix, four targets, one step of the Wiener filter."""
    if importlib.util.find_spec("openunmix") is None:
        yield "open-unmix", "not measured: openunmix is not installed"
        return
    script = other_script("bench_published")
    song = noise(options.seconds / 4).to(device)
    with tempfile.TemporaryDirectory() as folder:
        script.open_unmix_weights(Path(folder))
        ours = load_separator(folder, wiener_steps=1, batch_size=4).to(device)
        theirs = script.openunmix_separation(Path(folder), device)
        with torch.inference_mode():
            times = [
                median_seconds(partial(work, song), device, options.rounds)
                for work in (theirs, ours)
            ]
    yield (
        f"open-unmix, {options.seconds / 4:g} s of sound: openunmix, ours, ratio",
        f"{times[0]:.2f} s, {times[1]:.2f} s, {times[1] / times[0]:.2f}",
    )


PARTS = {
    "training": training,
    "separation": separation,
    "scoring": scoring,
    "published": published,
}


def main() -> None:
    """Measure the parts that the command line names, and print the table."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    if OmegaConf.is_missing(options, "out"):
        raise InputError("missing required key: out; pass out=<folder>")
    for key, known in (("parts", PARTS), ("variants", VARIANTS)):
        for name in options[key]:
            if name not in known:
                raise InputError(f"{key}={name}: {did_you_mean(name, known)}")
    options = OmegaConf.to_object(options)
    device = choose_device(options.device)
    logging.disable(logging.INFO)
    lines = [f"{device_name(device)}, torch {torch.__version__}:", ""]
    lines += ["| what | measured |", "| --- | --- |"]
    print("\n".join(lines))
    path = Path(options.out) / "bench.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        for what, value in PARTS[part](options, device):
            lines.append(f"| {what} | {value} |")
            print(lines[-1], flush=True)
            write_text(path, "\n".join(lines) + "\n")  # what is measured is kept


if __name__ == "__main__":
    try:
        main()
    except (InputError, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
