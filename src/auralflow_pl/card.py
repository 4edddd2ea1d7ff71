"""The model card: what a model is, what it learned from, and what was measured."""

from __future__ import annotations

import csv
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from auralflow_pl import __version__
from auralflow_pl.errors import printable

DEFINITIONS = {  # of the columns of eval.csv
    "si_sdr": "scale-invariant signal-to-distortion ratio of the estimate against the target over "
    "the whole track (Le Roux et al., 2019), in dB, higher is better",
    "si_sdr_mixture": "the same of the unprocessed mixture: the floor",
    "si_sdr_oracle": "the same of the ideal ratio mask with this STFT: the ceiling",
}
LONGEST_TEXT = 300  # characters
OPTIONS = ("model", "stft", "audio", "loss", "loss_weights", "optimizer", "scheduler", "augment")


def model_card(
    description: Mapping[str, Any],
    targets: Sequence[str],
    parameters: int,
    scores: Mapping[str, str],
    licence: str | None = None,
) -> str:
    """A README for a model, in Markdown.

    Args:
        description: from `sharing.describe`.
        targets: what the model separates.
        parameters: of its network.
        scores: name of a data set and split to its table, from `find_scores`.
        licence: of the weights.
    """
    config = description["config"]
    audio = config["audio"]
    heard = "mono" if audio["channels"] == 1 else f"{audio['channels']} channels"
    network = str(config["model"]["_target_"])
    parts = [
        f"# {' + '.join(targets)}",
        f"A model of auralflow_pl {__version__} that takes {', '.join(targets)} out of a mixture. "
        f"Its network, `{network}` with {parameters / 1e6:.2f} million parameters, hears "
        f"{audio['sample_rate']} Hz, {heard}; files of any rate and number of channels are taken.",
        "    auralflow separate ckpt=<this folder> input=song.mp3",
        "## What it learned from",
        training_facts(description),
        "## Options",
        "```json\n"
        + json.dumps({k: config[k] for k in OPTIONS if config.get(k)}, indent=2)
        + "\n```",
        "## What was measured",
        measured(scores),
        "## Licence",
        licence or "Not stated. Ask whoever gave you this model, and mind the licence of its data.",
        "## Files",
        f"- made with auralflow_pl {__version__} and torch {torch.__version__}",
    ]
    return "\n\n".join(parts)


def training_facts(description: Mapping[str, Any]) -> str:
    """Data, steps and hours of a training, as a list."""
    config, step = description["config"], description["step"]
    data, trainer = config["data"], config.get("trainer") or {}
    lines = [
        f"data set: {inline(data.get('name') or 'not known')}, "
        f"stems {', '.join(map(inline, data['stems']))}"
        + (f", at most {data['max_tracks']} tracks" if data.get("max_tracks") else ""),
        f"{step} optimizer steps" + (", weights averaged over them" * description["averaged"]),
    ]
    if hours := hours_heard(config, step):
        batch = data["batch_size"] * (trainer.get("accumulate_grad_batches") or 1)
        lines.append(
            f"about {hours:.3g} hours of sound heard, in {batch} chunks of "
            f"{config['chunk_seconds']} s a step, repetitions counted"
        )
    for key in ("seed", "precision"):
        if config.get(key) is not None:
            value = config[key]
            value = value.get("precision") if isinstance(value, dict) else value
            lines.append(f"{key}: {inline(value)}")
    return "\n".join(f"- {line}" for line in lines)


def inline(value: Any) -> str:
    """A text of others as it is, short and on one line, without a meaning in Markdown."""
    return re.sub(r"[\\`*_\[\]<>&|~]", r"\\\g<0>", printable(str(value))[:LONGEST_TEXT])


def hours_heard(config: Mapping[str, Any], step: int) -> float | None:
    """Sound that a training has heard until `step`, in hours, on one device; None: not known."""
    data, trainer = config["data"], config.get("trainer") or {}
    if not data.get("batch_size") or not config.get("chunk_seconds"):
        return None
    chunks = step * data["batch_size"] * (trainer.get("accumulate_grad_batches") or 1)
    return chunks * config["chunk_seconds"] / 3600


def measured(scores: Mapping[str, str]) -> str:
    """Tables of all evaluations, and the definitions of their columns."""
    if not scores:
        return "Nothing was found beside the checkpoint; `auralflow evaluate` measures."
    tables = (f"On {name}:\n\n{table}" for name, table in scores.items())
    definitions = "\n".join(f"- `{name}`: {text}" for name, text in DEFINITIONS.items())
    return "\n\n".join([*tables, definitions])


def find_scores(ckpt: Path) -> dict[str, str]:
    """Tables of the evaluations of a checkpoint, by the name of data set and split."""
    run_dir = ckpt.parent.parent if ckpt.parent.name == "checkpoints" else ckpt.parent
    files = sorted((run_dir / "eval" / ckpt.stem).glob("*/eval.csv"))
    return {path.parent.name: score_table(path) for path in files}


def score_table(path: Path) -> str:
    """Mean and median of every number in an eval.csv for each target, as a Markdown table."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in (rows[0] if rows else {}) if name in DEFINITIONS]
    lines = ["| target | tracks | " + " | ".join(f"{c}, mean / median" for c in columns) + " |"]
    lines.append("|---|" + "---|" * (len(columns) + 1))
    for target in dict.fromkeys(row["target"] for row in rows):
        mine = [row for row in rows if row["target"] == target]
        cells = [mean_and_median([row[column] for row in mine]) for column in columns]
        lines.append(f"| {target} | {len(mine)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_and_median(cells: Sequence[str]) -> str:
    """Of the numbers among the cells; those of silent targets are empty."""
    values = [float(cell) for cell in cells if cell]
    if not values:
        return "silent"
    return f"{statistics.fmean(values):.2f} / {statistics.median(values):.2f}"
