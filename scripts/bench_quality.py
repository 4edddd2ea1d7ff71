"""Benchmark of separation quality at equal cost, for our networks and open-unmix.

python scripts/bench_quality.py [songs=FOLDER] [reference_steps=1000] [seeds=3]
    [networks={simple:[],wide:[model.width=24],lstm:[model=lstm],open_unmix:[]}]

Networks are trained from scratch on vocals: on the synthetic set, and on `songs` if given, a folder
of `<song>/{vocals,drums,bass,other}.<wav|flac|ogg|...>`, of which every fourth is held out, or with
folders `train` and `valid`, whose songs in `valid` are held out. The first network is the reference
and makes `reference_steps` steps. The cost of a step of the others, in CPU time with the drawing of
its chunks, is measured in alternation with a step of the reference on this machine; each makes as
many steps as cost the same, so scores mean the same on a fast and on a slow machine. All share the
task, Trainer, chunks, augmentation and a cosine schedule. Ours have the settings of
`experiment=fast_start` and the keys given by their name; open-unmix has those of its publication
(Stöter et al., 2019): hidden size 512, n_fft 4096, hop 1024, up to 16 kHz, squared error, learning
rate 1e-3, weight decay 1e-5, 16 excerpts of 6 seconds, input scaled by statistics of the training
set. Intervals (95 %) cover held-out songs and seeds; differences are to the reference.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from openunmix.model import OpenUnmix
from openunmix.utils import bandwidth_to_max_bin
from torch import Tensor

from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import build
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.sources.synthetic import SyntheticSongs
from auralflow_pl.evaluation.comparing.intervals import Interval, bootstrap_interval
from auralflow_pl.evaluation.estimates import ModelEstimates
from auralflow_pl.evaluation.scoring import score_track, separate_track
from auralflow_pl.metrics.scores import SISDR
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.system.heap import keep_freed_memory
from auralflow_pl.training.build import build_data, build_task
from auralflow_pl.training.data_module import StemDataModule
from auralflow_pl.training.start.precision import choose_precision
from auralflow_pl.training.task import SeparationTask

STEMS = ["vocals", "drums", "bass", "other"]
JUDGED = "vocals"  # also of networks with several targets
PEER = "open_unmix"
OPEN_UNMIX = [
    "chunk_seconds=6",
    "data.batch_size=16",
    "loss=l2",
    "optimizer.lr=1e-3",
    "optimizer.weight_decay=1e-5",
]
NETWORKS = {"simple": [], "lstm": ["model=lstm"], "vae": ["model=vae"], PEER: []}

CONFIDENCE, RESAMPLES = 0.95, 10_000  # of intervals


@dataclass
class Options:
    """Options of the command line."""

    songs: str | None = None
    synthetic: bool = True
    reference_steps: int = 1000
    seeds: int = 3
    rounds: int = 7  # measured steps of each network
    networks: Any = None  # keys by name, or names of `model`; default: those of NETWORKS
    overrides: list[str] = field(default_factory=list)  # for ours
    out: str = "bench/quality"
    processes: int = os.cpu_count() or 1


@dataclass
class Job:
    """A training to do."""

    root: str
    held_out: str  # split
    network: str
    keys: list[str]
    seed: int
    steps: int


@dataclass
class Result:
    """Results of one training; SI-SDR in dB of every held-out song."""

    parameters: int
    hours: float  # of sound
    estimate: list[float]
    mixture: list[float]
    oracle: list[float]


class OpenUnmixMask(MaskEstimator):
    """The network of the `openunmix` package, with its output divided by its input as mask."""

    def __init__(self, n_fft: int, sample_rate: int) -> None:
        super().__init__()
        top = bandwidth_to_max_bin(sample_rate, n_fft, 16000)
        self.net = OpenUnmix(n_fft // 2 + 1, 2, hidden_size=512, max_bin=top)

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Estimate one mask, without an upper limit, from `(batch, channels, freq, frames)`."""
        estimate = self.net(magnitude).float()
        return MaskEstimate((estimate / magnitude.clamp(min=1e-8)).unsqueeze(1))

    def scale_input(self, magnitudes: Tensor) -> None:
        """Set mean and deviation per frequency from `(batch, channels, freq, frames)`."""
        rows = magnitudes.mean(1).transpose(0, 1).flatten(1)[: self.net.nb_bins]
        deviation = rows.std(1)
        self.net.input_mean.data.copy_(-rows.mean(1))
        self.net.input_scale.data.copy_(1 / deviation.clamp(min=1e-4 * float(deviation.max())))


def divide_songs(songs: Path, root: Path) -> None:
    """Link every fourth song into `valid` and the others into `train`."""
    for number, song in enumerate(sorted(p for p in songs.iterdir() if p.is_dir())):
        link = root / ("valid" if number % 4 == 3 else "train") / song.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(song.resolve())


def configure(root: str, keys: Sequence[str], seed: int = 0) -> DictConfig:
    """Compose the configuration of a training."""
    fixed = [
        "experiment=fast_start",
        "data=stem_folder",
        f"data.root={root}",
        f"paths.data_dir={Path(root).parent}",
        "data.num_workers=0",
        "logger=none",
        "callbacks=none",
        f"seed={seed}",
    ]
    config = compose("train", [*fixed, *keys])
    choose_precision(config)
    return config


def put_in_open_unmix(task: SeparationTask, data: StemDataModule) -> None:
    """Replace the network of a task, scaled by 100 chunks."""
    separator = task.separator
    network = OpenUnmixMask(separator.stft.n_fft, separator.sample_rate)
    chunks = torch.stack([data.chunks[number]["mixture"] for number in range(100)])
    network.scale_input(separator.stft(chunks).abs())
    separator.network = network


def make_training(network: str, config: DictConfig) -> tuple[SeparationTask, StemDataModule]:
    """Task and prepared data of a training."""
    torch.set_num_threads(1)
    keep_freed_memory()
    pl.seed_everything(config.seed, verbose=False)
    data, task = build_data(config), build_task(config)
    data.prepare_data()
    data.setup("fit")
    if network == PEER:
        put_in_open_unmix(task, data)
    return task, data


def stepper(network: str, config: DictConfig) -> Callable[[], float]:
    """A function that makes a training step and returns its CPU time in seconds."""
    task, data = make_training(network, config)
    task.train()
    optimizer = task.make_optimizer(task)
    half = config.precision.precision == "bf16-mixed"
    numbers = iter(range(10**9))

    def step() -> float:
        start = time.process_time()
        drawn = [data.chunks[next(numbers)] for _ in range(config.data.batch_size)]
        batch = torch.utils.data.default_collate(drawn)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = task.loss_parts(batch)["loss"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - start

    return step


def measure_costs(configs: Mapping[str, DictConfig], rounds: int) -> dict[str, float]:
    """Cost of a step of each network as a multiple of that of the first, which is its neighbour.

    The median over rounds of the ratio to a step of the first network right before.
    """
    reference, *others = (partial(stepper, *item) for item in configs.items())
    first = reference()
    first()
    costs = {next(iter(configs)): 1.0}
    for network, make in zip(list(configs)[1:], others, strict=True):
        step = make()
        step()
        costs[network] = statistics.median(1 / (first() / step()) for _ in range(rounds))
    return costs


def train(job: Job) -> Result:
    """Train one network and score it on the held-out songs."""
    config = configure(job.root, job.keys, job.seed)
    task, data = make_training(job.network, config)
    trainer = build(
        config.trainer,
        max_epochs=-1,
        max_steps=job.steps,
        precision=config.precision.precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        accelerator="cpu",
    )
    trainer.fit(task, datamodule=data)
    separator = task.separator.eval()
    estimates = ModelEstimates(separator, Path())
    scores = [
        score
        for track in StemFolder(job.root, STEMS).tracks(job.held_out)
        for score in score_track(
            separate_track(estimates, STEMS, track),
            separator.stft,
            [SISDR()],
            ("mixture", "oracle"),
        )
        if score.target == JUDGED
        and score.values["si_sdr"]["estimate"] is not None  # silence has none
    ]
    return Result(
        sum(p.numel() for p in separator.network.parameters()),
        job.steps * config.data.batch_size * config.chunk_seconds / 3600,
        *(
            [score.values["si_sdr"][key] for score in scores]
            for key in ("estimate", "mixture", "oracle")
        ),
    )


def interval(values: np.ndarray, *groups: np.ndarray) -> Interval:
    """Interval of a mean over songs; `groups` have values of shape `(seeds, songs)`."""
    means = [list(group.mean(1)) for group in groups]
    return bootstrap_interval(list(values), CONFIDENCE, RESAMPLES, np.random.default_rng(0), means)


def rows(results: Mapping[str, Sequence[Result]], steps: Mapping[str, int]) -> Iterator[str]:
    """Lines of the table of a data set, the reference first."""
    scores = {name: np.array([one.estimate for one in found]) for name, found in results.items()}
    reference = next(iter(scores.values()))
    for name, found in results.items():
        mine, one = scores[name], found[0]
        mixture, oracle = statistics.fmean(one.mixture), statistics.fmean(one.oracle)
        whole = interval(mine.mean(0), mine)
        line = (
            f"{name:<14}{one.parameters / 1e6:>7.2f} M{steps[name]:>7}{one.hours:>7.1f} h"
            f"{whole.mean:>7.2f} [{whole.low:5.2f}, {whole.high:5.2f}]"
            f"{(whole.mean - mixture) / (oracle - mixture):>6.0%}"
        )
        if mine is not reference:
            gain = interval((mine - reference).mean(0), mine, reference)
            line += f"{gain.mean:>+8.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
        yield line
    yield f"mixture {mixture:.2f}, ideal ratio mask {oracle:.2f}, {reference.shape[1]} songs"


def networks_of(options: Options) -> dict[str, list[str]]:
    """Keys of the networks by their name."""
    given = options.networks or NETWORKS
    if isinstance(given, dict):
        return given
    return {name: NETWORKS.get(name, [f"model={name}"]) for name in given}


def prepare(options: Options) -> Iterator[tuple[str, str]]:
    """Prepare the data sets; yield their roots, with the split that is held out."""
    out = Path(options.out)
    if options.songs and (Path(options.songs) / "valid").is_dir():
        yield options.songs, "valid"
    elif options.songs:
        divide_songs(Path(options.songs), out / "songs")
        yield str(out / "songs"), "valid"
    if options.synthetic:
        root = out / "synthetic"
        SyntheticSongs(root, train_tracks=48, valid_tracks=4, test_tracks=8, seconds=15).prepare()
        yield str(root), "test"


def main() -> None:
    """Prepare the data, measure the costs, train all networks, print a table for each data set."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    options = OmegaConf.to_object(options)
    keys = {
        name: OPEN_UNMIX if name == PEER else [*options.overrides, *given]
        for name, given in networks_of(options).items()
    }
    for root, held_out in prepare(options):
        if (count := len(StemFolder(root, STEMS).tracks(held_out))) < 2:
            raise SystemExit(f"{root}: {count} songs held out; intervals need at least 2")
        configs = {name: configure(root, own) for name, own in keys.items()}
        costs = measure_costs(configs, options.rounds)
        steps = {
            name: max(1, round(options.reference_steps / cost)) for name, cost in costs.items()
        }
        print(f"{root}: cost of a step", *(f"{name} {cost:.2f}" for name, cost in costs.items()))
        jobs = [
            Job(root, held_out, name, list(own), seed, steps[name])
            for seed in range(options.seeds)
            for name, own in keys.items()
        ]
        pool = ProcessPoolExecutor(options.processes, get_context("spawn"), max_tasks_per_child=1)
        with pool:
            done = list(zip(jobs, pool.map(train, jobs), strict=True))
        results = {name: [one for job, one in done if job.network == name] for name in keys}
        print(f"{'network':<14}{'size':>9}{'steps':>7}{'heard':>9}  SI-SDR [dB]   gap   difference")
        print(*rows(results, steps), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
