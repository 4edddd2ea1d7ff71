"""The model card, in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from auralflow_pl.errors import printable
from auralflow_pl.pretrained.entries import RegistryEntry
from auralflow_pl.system.files import file_sha256
from auralflow_pl.system.folders import visible
from auralflow_pl.version import __version__

LONGEST_TEXT = 300  # characters

CARD_KEYS = ("model", "stft", "audio", "loss", "loss_weights", "optimizer", "scheduler", "augment")


def model_card(
    description: Mapping[str, Any],
    targets: Sequence[str],
    parameters: int,
    scores: Sequence[Mapping[str, Any]],
    licence: str | None = None,
) -> str:
    """Model card of an exported model, in Markdown.

    Args:
        description: description from `describe_model`.
        targets: targets of the model.
        parameters: number of parameters of the network.
        scores: metrics from `find_scores`.
        licence: licence of the weights; None: not stated.
    """
    config = description["config"]
    audio = config["audio"]
    heard = "mono" if audio["channels"] == 1 else f"{audio['channels']} channels"
    network = str(config["model"]["_target_"])
    parts = [
        f"# {' + '.join(targets)}",
        f"A model of auralflow_pl {__version__} that separates {', '.join(targets)} from mixtures. "
        f"Its network, `{network}` with {parameters / 1e6:.2f} million parameters, works at "
        f"{audio['sample_rate']} Hz, {heard}; files of any rate and number of channels are taken.",
        "    auralflow separate ckpt=<this folder> input=song.mp3",
        "## Training data",
        training_facts(description),
        "## Options",
        "```json\n"
        + json.dumps({k: config[k] for k in CARD_KEYS if config.get(k)}, indent=2)
        + "\n```",
        "## Scores",
        measured_table(scores),
        "## Licence",
        licence or "Not stated. Ask whoever gave you this model, and mind the licence of its data.",
        "## Files",
        f"- made with auralflow_pl {__version__} and torch {torch.__version__}",
    ]
    return "\n\n".join(parts)


def source_section(ckpt: Path, entry: RegistryEntry | None) -> str:
    """Section of the card of an imported model: its files, and what was verified of them.

    Args:
        ckpt: the imported file or folder.
        entry: entry of the registry with the addresses of the files; None: not from a registry.
    """
    files = [path for path in (visible(ckpt) if ckpt.is_dir() else [ckpt]) if path.is_file()]
    published = {file.name: file.sources[0] for file in entry.files} if entry else {}
    lines = [
        f"- {inline_code(path.name)}, SHA-256 `{file_sha256(path)}`"
        + (f", published at {inline_code(published[path.name])}" if path.name in published else "")
        for path in files
    ]
    verified = (
        "Verified: every weight of the network was found in these files under its name and with "
        "its shape, and no weight of theirs was left over. No code in them was run. The tests of "
        "this project compare the network with the implementation of its authors."
    )
    return "\n\n".join(["## Imported from", "\n".join(lines), verified])


def training_facts(description: Mapping[str, Any]) -> str:
    """Markdown list of the data, steps, hours and settings of a training."""
    config, step = description["config"], description["step"]
    data, trainer = config["data"], config.get("trainer") or {}
    lines = [
        f"data set: {inline_code(data.get('name') or 'not known')}, "
        f"stems {', '.join(map(inline_code, data['stems']))}"
        + (f", at most {data['max_tracks']} tracks" if data.get("max_tracks") else ""),
        f"{step} optimizer steps" + (", weights averaged over them" * description["averaged"]),
    ]
    if hours := training_hours(config, step):
        batch = data["batch_size"] * (trainer.get("accumulate_grad_batches") or 1)
        lines.append(
            f"about {hours:.3g} hours of audio, in {batch} chunks of "
            f"{config['chunk_seconds']} s a step, repetitions counted"
        )
    for key in ("seed", "precision"):
        if config.get(key) is not None:
            value = config[key]
            value = value.get("precision") if isinstance(value, dict) else value
            lines.append(f"{key}: {inline_code(value)}")
    return "\n".join(f"- {line}" for line in lines)


def inline_code(value: Any) -> str:
    """Escape an untrusted value for Markdown, on one line of at most `LONGEST_TEXT` characters."""
    return re.sub(r"[\\`*_\[\]<>&|~]", r"\\\g<0>", printable(str(value))[:LONGEST_TEXT])


def training_hours(config: Mapping[str, Any], step: int) -> float | None:
    """Hours of audio in the batches of one device up to `step`; None: unknown."""
    data, trainer = config["data"], config.get("trainer") or {}
    if not data.get("batch_size") or not config.get("chunk_seconds"):
        return None
    chunks = step * data["batch_size"] * (trainer.get("accumulate_grad_batches") or 1)
    return chunks * config["chunk_seconds"] / 3600


def measured_table(scores: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table of all averages, with the definitions of the metrics."""
    if not scores:
        return "Nothing was found beside the checkpoint; `auralflow evaluate` measures."
    lines = [
        "| metric | target | data | average | estimate | mixture | ratio mask | tracks |",
        "|---" * 8 + "|",
    ]
    for metric in scores:
        for value in metric["values"]:
            names = [metric["name"], *(value[key] for key in ("target", "data", "average"))]
            numbers = [value.get(key) for key in ("value", "mixture", "oracle")]
            cells = ["" if number is None else f"{number:.2f}" for number in numbers]
            lines.append("| " + " | ".join([*names, *cells, str(value["tracks"])]) + " |")
    definitions = (f"- `{metric['name']}`: {metric['definition']}" for metric in scores)
    notes = "Mixture: the unprocessed mixture, the floor. Ratio mask: the ideal one, a ceiling."
    return "\n\n".join(["\n".join(lines), "\n".join(definitions), notes])


def markdown_quote(text: str) -> str:
    """Format a text as a Markdown quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())
