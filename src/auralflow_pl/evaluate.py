"""The command `evaluate`: scores of a checkpoint on every track of a split."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from auralflow_pl.audio.staging import check_writable, staged
from auralflow_pl.checkpoint import build_source, load_checkpoint, load_separator
from auralflow_pl.config import EvaluateKeys, build, plain, validated
from auralflow_pl.data.tracks import Track, TrackSource, check_members, sum_stems
from auralflow_pl.device import choose_device
from auralflow_pl.engine import choose_engine
from auralflow_pl.errors import InputError
from auralflow_pl.metrics.oracle import ideal_ratio_mask
from auralflow_pl.metrics.si_sdr import is_silent, si_sdr
from auralflow_pl.separation import Separator


@dataclass(frozen=True)
class Score:
    """SI-SDR in dB of one target of one track; None where the target is silent."""

    track: str
    target: str
    si_sdr: float | None
    si_sdr_mixture: float | None  # of the unprocessed mixture: the floor
    si_sdr_oracle: float | None  # of the ideal ratio mask: the ceiling


def evaluate(config: DictConfig) -> list[Score]:
    """Evaluate a checkpoint, write eval.csv and print a summary."""
    config = validated(config, EvaluateKeys)
    device = choose_device(config.device)
    engine = choose_engine(config.engine, device, config.ckpt)
    separator = load_separator(
        config.ckpt, list(config.trust), engine=engine, **plain(config.separation)
    )
    separator.to(device)
    name, source = find_source(config)
    check_members(separator.sums, source.stems)
    output = Path(config.output or default_output(Path(config.ckpt), name, config.split))
    check_writable(output)
    tracks = source.tracks(config.split)
    scores: list[Score] = []
    for track in tqdm(tracks, "evaluate", unit="track", leave=False):
        scores += score_track(separator, source.stems, track)
    write_csv(scores, output)
    print(summary(scores))
    print(f"{output / 'eval.csv'}")
    return scores


def find_source(config: DictConfig) -> tuple[str, TrackSource]:
    """The data set that the command names, or else the one that the checkpoint was trained on.

    Only a data set that the user named may write files (`prepare`).
    """
    if config.data is not None:
        source = build(config.data.source)
        source.prepare()
        return label(config.data), source
    data = load_checkpoint(config.ckpt).config["data"]
    for root in data.get("roots") or [data.get("root")]:
        if not Path(str(root)).is_dir():
            raise InputError(
                f"the checkpoint was trained on data.root={root}, which is not here; "
                "pass data=<set> data.root=<folder>"
            )
    return label(data), build_source(data.get("source"), list(config.trust))


def label(data: Mapping[str, Any]) -> str:
    """A data set by the names of its folders."""
    return "+".join(Path(str(root)).name for root in data.get("roots") or [data.get("root")])


def default_output(ckpt: Path, name: str, split: str) -> Path:
    """`eval/<ckpt>/<data set>-<split>` in the run folder of a checkpoint, or beside a lone file."""
    run_dir = ckpt.parent.parent if ckpt.parent.name == "checkpoints" else ckpt.parent
    return run_dir / "eval" / ckpt.stem / f"{name}-{split}"


@torch.inference_mode()
def score_track(separator: Separator, stems: Sequence[str], track: Track) -> list[Score]:
    """Separate one track and compare estimate, mixture and oracle with each target."""
    mixture, sources = (part.to(separator.stft.window.device) for part in track.read())
    estimates = separator(mixture, track.sample_rate)
    scores = []
    targets = sum_stems(sources, stems, separator.sums)
    for name, estimate, target in zip(separator.targets, estimates, targets, strict=True):
        silent = bool(is_silent(target.flatten()))
        candidates = (estimate, mixture, oracle_estimate(separator, mixture, target))
        values = (
            None if silent else float(si_sdr(c.flatten(), target.flatten())) for c in candidates
        )
        scores.append(Score(track.name, name, *values))
    return scores


def oracle_estimate(separator: Separator, mixture: Tensor, target: Tensor) -> Tensor:
    """What the STFT of the separator reaches with the ideal ratio mask, `(channels, time)`."""
    mask = ideal_ratio_mask(separator.stft(target), separator.stft(mixture - target))
    return separator.stft.inverse(mask * separator.stft(mixture), mixture.shape[-1])


def write_csv(scores: Iterable[Score], output: Path) -> None:
    """`eval.csv` with one row per track and target; silent targets have empty cells."""
    with staged(output) as folder, (folder / "eval.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [entry.name for entry in fields(Score)])
        writer.writeheader()
        for score in scores:
            row: Mapping[str, object] = asdict(score)
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})


def summary(scores: Sequence[Score]) -> str:
    """Means and medians over tracks, and the share of the gap that is closed, for each target."""
    lines = [
        f"{'target':<12}{'SI-SDR [dB]':<14}{'estimate':>10}{'mixture':>10}{'oracle':>10}{'gap':>8}"
    ]
    for target in dict.fromkeys(score.target for score in scores):
        mine = [s for s in scores if s.target == target]
        heard = [s for s in mine if s.si_sdr is not None]
        for label, average in (("mean", statistics.fmean), ("median", statistics.median)):
            if heard:
                estimate, mixture, oracle = (
                    average([getattr(s, key) for s in heard])
                    for key in ("si_sdr", "si_sdr_mixture", "si_sdr_oracle")
                )
                gap = (estimate - mixture) / (oracle - mixture) if oracle > mixture else math.nan
                lines.append(
                    f"{target:<12}{label:<14}{estimate:>10.2f}{mixture:>10.2f}{oracle:>10.2f}{gap:>8.0%}"
                )
        silent = len(mine) - len(heard)
        lines.append(f"{target:<12}{len(heard)} tracks, {silent} silent and left out")
    return "\n".join(lines)
