"""Put a trained model into the package `models/`, with its card, scores and registry entry.

python scripts/package_model.py ckpt=runs/mine name=vae-vocals architecture=vae songs=songs
    notes=notes.md ["model={segment_frames: null}"] [dtype=float16|int8]
    ["separation={speeds: [1,1.1,1.2], mid_side: true}"] [folder=models/src/auralflow_pl_models]

Changes those keys of the network that have no weights (`model`), stores the settings of separation
that it names, scores the model with them on the songs in <songs>/valid, writes rounded weights into
<folder>/<name>, the card with `notes` before it, and the entry in <folder>/registry.yaml, best
first. SI-SDR in dB with the 95 % interval of the mean over songs; that of the band from 6 to 16 kHz
too. The model is read back and scored once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from omegaconf import OmegaConf

import auralflow_pl
from auralflow_pl.checkpoints.archive import write_weights
from auralflow_pl.checkpoints.contents import CARD_FILE, describe_model, named_settings
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.evaluation.comparing.intervals import bootstrap_interval
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.pretrained.locations import WEIGHTS_FILE
from auralflow_pl.pretrained.registry import REGISTRY_FORMAT, read_registry
from auralflow_pl.publishing.entry import check_model_name
from auralflow_pl.publishing.exporting import export_weights, load_model
from auralflow_pl.separator.build import build_separator
from auralflow_pl.separator.separator import Separator
from auralflow_pl.system.files import file_sha256, write_text

STEMS = ["vocals", "drums", "bass", "other"]

MOST_BYTES = 16 * 2**20  # of a weights file

BAND_HZ = (6000, 16000)

DEFINITION = (
    "scale-invariant signal-to-distortion ratio of the estimate against the target over the whole "
    "track (Le Roux et al., 2019), in dB; higher is better"
)


@dataclass
class Options:
    """Options of the command line."""

    ckpt: str
    name: str
    architecture: str
    songs: str
    notes: str
    data: str = "songs of research sets, see the card"  # that the model learned from
    set_name: str = "14 excerpts of 7 s from the validation songs of MUSDB18"
    licence: str = "research only"
    model: dict[str, Any] = field(default_factory=dict)
    separation: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float16"  # or int8
    folder: str = "models/src/auralflow_pl_models"


def band(sound: torch.Tensor, rate: int) -> torch.Tensor:
    """The part of a sound `(..., time)` between the frequencies of `BAND_HZ`."""
    spectrum = torch.fft.rfft(sound.double())
    hertz = torch.fft.rfftfreq(sound.shape[-1], 1 / rate)
    inside = (hertz >= BAND_HZ[0]) & (hertz < BAND_HZ[1])
    return torch.fft.irfft(spectrum * inside, sound.shape[-1])


@torch.inference_mode()
def scores(separator: Separator, songs: StemFolder) -> Iterator[dict[str, float]]:
    """SI-SDR of each song: vocals, what is left, vocals in the band, and the mixture as each."""
    for track in songs.tracks("valid"):
        mixture, stems = track.read()
        estimate = separator(mixture, track.sample_rate)[0]
        vocals, rest = stems[0], stems[1:].sum(0)
        pairs = {
            "vocals": (estimate, mixture, vocals),
            "accompaniment": (mixture - estimate, mixture, rest),
            "band": tuple(band(x, track.sample_rate) for x in (estimate, mixture, vocals)),
        }
        found = {}
        for name, (guess, floor, truth) in pairs.items():
            found[name] = float(si_sdr(guess, truth).mean())
            found[f"{name}, mixture"] = float(si_sdr(floor, truth).mean())
        yield found


def table(rows: list[dict[str, float]], set_name: str) -> str:
    """The scores in Markdown."""
    labels = {
        "vocals": "vocals",
        "accompaniment": "accompaniment (mixture minus vocals)",
        "band": f"vocals, {BAND_HZ[0] // 1000} to {BAND_HZ[1] // 1000} kHz only",
    }
    lines = [
        f"## Scores on {set_name}",
        "SI-SDR in dB, mean over tracks with its 95 % interval, median, and the mixture's mean.",
        "| what | mean | interval | median | mixture |\n|---|---|---|---|---|",
    ]
    for name, label in labels.items():
        values = np.array([row[name] for row in rows])
        got = bootstrap_interval(list(values), 0.95, 10_000, np.random.default_rng(0))
        mixture = np.mean([row[f"{name}, mixture"] for row in rows])
        lines[-1] += (
            f"\n| {label} | {got.mean:.2f} | {got.low:.2f} to {got.high:.2f} | "
            f"{np.median(values):.2f} | {mixture:.2f} |"
        )
    return "\n\n".join(lines)


def entry(options: Options, folder: Path, rows: list[dict[str, float]]) -> dict[str, Any]:
    """Registry entry of the model."""
    weights = folder / options.name / WEIGHTS_FILE
    value = {
        "target": "vocals",
        "data": options.set_name,
        "average": "mean over tracks",
        "value": round(float(np.mean([row["vocals"] for row in rows])), 2),
        "mixture": round(float(np.mean([row["vocals, mixture"] for row in rows])), 2),
        "tracks": len(rows),
    }
    speeds, mid_side = (options.separation.get(key) for key in ("speeds", "mid_side"))
    passes = len(speeds or [1]) * (3 if mid_side else 1)
    often = f", in {passes} passes of the network" if passes > 1 else ""
    return {
        "targets": ["vocals"],
        "architecture": options.architecture,
        "data": options.data,
        "licence": options.licence,
        "size": weights.stat().st_size,
        "sha256": file_sha256(weights),
        "sources": [options.name],
        "description": f"{options.architecture} for vocals{often}; {options.licence}.",
        "metrics": [{"name": "si_sdr", "definition": DEFINITION, "values": [value]}],
    }


def write_entry(path: Path, name: str, added: dict[str, Any]) -> None:
    """Add or replace an entry of a registry, whose best models come first."""
    entries = yaml.safe_load(path.read_text("utf-8"))["models"] if path.is_file() else {}
    entries[name] = added
    ranked = dict(
        sorted(entries.items(), key=lambda item: -item[1]["metrics"][0]["values"][0]["value"])
    )
    text = yaml.safe_dump(
        {"format": REGISTRY_FORMAT, "models": ranked}, sort_keys=False, allow_unicode=True
    )
    write_text(path, "# Models for research, best first; see docs/models.md.\n" + text)
    read_registry(path)


def package(options: Options) -> None:
    """Write the model and print its scores."""
    folder, songs = Path(options.folder), StemFolder(options.songs, STEMS)
    check_model_name(options.name)
    checkpoint = load_checkpoint(resolve_ckpt(options.ckpt))
    config = {**checkpoint.config, "model": {**checkpoint.config["model"], **options.model}}
    options.separation = named_settings(checkpoint.config) | options.separation
    config["separation"] = options.separation
    checkpoint = checkpoint._replace(config=config)
    separator = build_separator(checkpoint, simplify=False)
    whole = folder / f".{options.name}"  # in full precision
    whole.mkdir(parents=True, exist_ok=True)
    description = describe_model(config, checkpoint.step, checkpoint.averaged, separator.network)
    write_weights(whole, description, checkpoint.weights)
    output = folder / options.name
    model = load_model(whole, [], options.licence)
    print(export_weights(model, output, options.dtype))
    for file in whole.iterdir():
        file.unlink()
    whole.rmdir()
    if (size := (output / WEIGHTS_FILE).stat().st_size) > MOST_BYTES:
        raise SystemExit(f"{output / WEIGHTS_FILE}: {size} bytes, at most {MOST_BYTES} are allowed")
    rows = list(scores(auralflow_pl.load(output, engine="torch"), songs))
    text = table(rows, options.set_name)
    _, card = (output / CARD_FILE).read_text("utf-8").split("\n", 1)
    before, _, after = card.partition("## Scores\n")  # of evaluations beside the checkpoint
    card = f"{before}## Licence\n{after.partition('## Licence')[2].lstrip()}"
    notes = Path(options.notes).read_text("utf-8").strip()
    write_text(output / CARD_FILE, f"# {options.name}\n\n{notes}\n\n{text}\n{card}")
    write_entry(folder / "registry.yaml", options.name, entry(options, folder, rows))
    print(text)


def main() -> None:
    """Package the model that the command line names."""
    given = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    package(OmegaConf.to_object(given))


if __name__ == "__main__":
    main()
