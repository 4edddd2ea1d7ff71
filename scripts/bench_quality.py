"""Benchmark of separation quality after equal CPU time, for our networks and open-unmix.

python scripts/bench_quality.py [songs=FOLDER] [cpu_minutes=15] [networks=[simple,open_unmix]]

Networks are trained from scratch on vocals: on the synthetic set, and on `songs` if given, a folder
of `<song>/{vocals,drums,bass,other}.<wav|flac|ogg|...>`. Every fourth of these songs is held out.
Every network runs in a process of its own with one thread. The budget is CPU time, including the
drawing of chunks, so other work on the machine does not change the results. All networks share the
task, Trainer, chunks, augmentation, bf16, and a cosine schedule over the CPU time. Ours have the
settings of `experiment=fast_start`; open-unmix has those of its publication (Stöter et al., 2019):
hidden size 512, n_fft 4096, hop 1024, up to 16 kHz, squared error, learning rate 1e-3, weight decay
1e-5, 16 excerpts of 6 seconds, input scaled by statistics of the training set.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from openunmix.model import OpenUnmix
from openunmix.utils import bandwidth_to_max_bin
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import build
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.sources.synthetic import SyntheticSongs
from auralflow_pl.evaluation.estimates import ModelEstimates
from auralflow_pl.evaluation.scoring import score_track, separate_track
from auralflow_pl.metrics.scores import SISDR
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.system.heap import keep_freed_memory
from auralflow_pl.training.build import build_data, build_task
from auralflow_pl.training.data_module import StemDataModule
from auralflow_pl.training.schedules import Schedule, cosine_factor
from auralflow_pl.training.start.precision import choose_precision
from auralflow_pl.training.task import SeparationTask

STEMS = ["vocals", "drums", "bass", "other"]
HELD_OUT = {"synthetic": "test", "songs": "valid"}
OPEN_UNMIX = [
    "chunk_seconds=6",
    "data.batch_size=16",
    "loss=l2",
    "optimizer.lr=1e-3",
    "optimizer.weight_decay=1e-5",
]


@dataclass
class Options:
    """Options of the command line."""

    songs: str | None = None
    synthetic: bool = True
    cpu_minutes: float = 15.0
    networks: list[str] = field(default_factory=lambda: ["simple", "lstm", "vae", "open_unmix"])
    overrides: list[str] = field(default_factory=list)
    out: str = "bench/quality"
    processes: int = os.cpu_count() or 1


@dataclass
class Result:
    """Results of one network; levels in dB, means over the held-out songs."""

    data: str
    network: str
    parameters: int
    steps: int
    hours: float
    si_sdr: float
    mixture: float
    oracle: float


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


class Budget(pl.Callback):
    """Ends the training after a given CPU time, and drives the schedule by the CPU time."""

    def __init__(self, cpu_minutes: float) -> None:
        self.seconds = cpu_minutes * 60
        self.start = 0.0

    def on_train_start(self, *_: object) -> None:
        """Start the clock with the first step; decoding of the songs is not counted."""
        self.start = time.process_time()

    def progress(self) -> float:
        """Share of the CPU time that is used."""
        return (time.process_time() - self.start) / self.seconds

    def schedule(self, optimizer: Optimizer, total_steps: int) -> Schedule:  # noqa: ARG002
        """Make a schedule of a warm-up and half a cosine."""

        def factor(_: int) -> float:
            """Present factor of the learning rate."""
            return max(1e-3, cosine_factor(self.progress(), warmup=0.05, floor=0.01))

        return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Stop the training when the CPU time is used."""
        trainer.should_stop = self.progress() >= 1


def divide_songs(songs: Path, root: Path) -> None:
    """Link every fourth song into `valid` and the others into `train`."""
    for number, song in enumerate(sorted(p for p in songs.iterdir() if p.is_dir())):
        link = root / ("valid" if number % 4 == 3 else "train") / song.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(song.resolve())


def configure(network: str, root: str, overrides: list[str]) -> DictConfig:
    """Compose the configuration of a training."""
    model = "simple" if network == "open_unmix" else network
    own = OPEN_UNMIX if network == "open_unmix" else overrides
    fixed = [
        "experiment=fast_start",
        f"model={model}",
        "data=stem_folder",
        f"data.root={root}",
        f"paths.data_dir={Path(root).parent}",
        "data.num_workers=0",
        "logger=none",
        "callbacks=none",
    ]
    config = compose("train", fixed + own)
    choose_precision(config)
    return config


def put_in_open_unmix(task: SeparationTask, data: StemDataModule) -> None:
    """Replace the network of a task; 100 chunks, outside the budget, scale its input."""
    separator = task.separator
    network = OpenUnmixMask(separator.stft.n_fft, separator.sample_rate)
    data.setup("fit")
    chunks = torch.stack([data.chunks[number]["mixture"] for number in range(100)])
    network.scale_input(separator.stft(chunks).abs())
    separator.network = network


def train(name: str, root: str, network: str, options: Options) -> Result:
    """Train one network and score it on the held-out songs."""
    torch.set_num_threads(1)
    keep_freed_memory()
    pl.seed_everything(0, verbose=False)
    config = configure(network, root, list(options.overrides))
    data, task = build_data(config), build_task(config)
    data.prepare_data()
    if network == "open_unmix":
        put_in_open_unmix(task, data)
    budget = Budget(options.cpu_minutes)
    task.make_schedule = budget.schedule
    trainer = build(
        config.trainer,
        max_epochs=-1,
        precision=config.precision.precision,
        callbacks=[budget],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        accelerator="cpu",
    )
    trainer.fit(task, datamodule=data)
    tracks = StemFolder(root, STEMS).tracks(HELD_OUT[name])
    separator = task.separator.eval()
    estimates = ModelEstimates(separator, Path())
    heard = (separate_track(estimates, STEMS, track) for track in tracks)
    scores = [
        t for h in heard for t in score_track(h, separator.stft, [SISDR()], ("mixture", "oracle"))
    ]
    steps = trainer.global_step
    return Result(
        name,
        network,
        sum(p.numel() for p in separator.network.parameters()),
        steps,
        steps * config.data.batch_size * config.chunk_seconds / 3600,
        *(
            statistics.fmean(target.values["si_sdr"][key] for target in scores)
            for key in ("estimate", "mixture", "oracle")
        ),
    )


def show(result: Result) -> None:
    """Print one row of the table."""
    gain = result.si_sdr - result.mixture
    print(
        f"{result.data:<10} {result.network:<11}{result.parameters / 1e6:>8.2f} M{result.steps:>7}"
        f"{result.hours:>8.1f} h{result.si_sdr:>9.2f}{gain:>8.2f}"
        f"{gain / (result.oracle - result.mixture):>7.0%}",
        flush=True,
    )


def main() -> None:
    """Prepare the data, train all networks, print a table."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    options = OmegaConf.to_object(options)
    out = Path(options.out)
    roots = {}
    if options.songs:
        roots["songs"] = out / "songs"
        divide_songs(Path(options.songs), roots["songs"])
    if options.synthetic:
        roots["synthetic"] = out / "synthetic"
        SyntheticSongs(
            roots["synthetic"], train_tracks=48, valid_tracks=4, test_tracks=8, seconds=15
        ).prepare()
    print(f"{options.cpu_minutes:g} CPU-minutes each, one thread, vocals, SI-SDR in dB")
    print(
        f"{'data':<10} {'network':<11}{'parameters':>10}{'steps':>7}{'heard':>10}{'SI-SDR':>9}"
        f"{'gain':>8}{'gap':>7}"
    )
    with ProcessPoolExecutor(
        options.processes, get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        jobs = [
            pool.submit(train, name, str(root), network, options)
            for name, root in roots.items()
            for network in options.networks
        ]
        results = []
        for job in as_completed(jobs):
            results.append(job.result())
            show(results[-1])
    for name in roots:
        mine = {r.network: r for r in results if r.data == name}
        one = next(iter(mine.values()))
        print(f"{name}: mixture {one.mixture:.2f}, ideal ratio mask {one.oracle:.2f}")
        theirs = mine.pop("open_unmix", None)
        if theirs and mine:
            best = max(mine.values(), key=lambda result: result.si_sdr)
            print(f"{name}: {best.network} - open_unmix = {best.si_sdr - theirs.si_sdr:+.2f} dB")


if __name__ == "__main__":
    sys.exit(main())
