"""What wrong labels cost, and what is left of that cost with the remedies.

python scripts/bench_dirty_labels.py [seeds=3] [steps=300] [share=0.2] [out=bench/dirty_labels]
    [songs=20] [overrides=[loss=si_sdr]]

A small vocal network is trained on synthetic songs. In a share of them the vocals are exchanged
with another stem. It is trained on the right labels, on the wrong ones, and on the wrong ones with
the remedies: `loss_truncation`, `data.spans` with the spans that a model finds (as
`auralflow doctor ckpt=...`), and both. The model is `finder`, by default the one in the package; it
was trained on songs like these. With `finder=self` it is the network trained on the wrong labels.
Printed are the mean SI-SDR of the validation songs, whose labels are right, and how far it falls,
with Student's 95 % interval over the seeds, and the share of the fall that is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from scipy import stats

from auralflow_pl.config.compose import compose
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.data.sources.synthetic import SyntheticSongs
from auralflow_pl.data.spans import MarkedSpan
from auralflow_pl.evaluation.foreign_sound import foreign_spans
from auralflow_pl.pretrained.locations import SMALL_MODEL
from auralflow_pl.separator.load import load_separator
from auralflow_pl.system.files import write_csv
from auralflow_pl.training.run import train_run

STEMS = ("vocals", "drums", "bass", "other")

FOREIGN_DB = -3.0  # level of foreign sound from which a second is left out

KEYS = [
    "data=stem_folder",
    "data.batch_size=8",
    "data.num_workers=0",
    "audio.sample_rate=16000",
    "audio.channels=1",
    "stft.n_fft=512",
    "stft.win_length=512",
    "stft.hop_length=256",
    "chunk_seconds=1",
    "model.width=8",
    "model.levels=4",
    "optimizer.lr=2e-3",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "logger=none",
    "val_chunks=0",
    "silent=true",
]


@dataclass
class Options:
    """Options of the command line."""

    seeds: int = 3
    steps: int = 300
    share: float = 0.2  # of the training songs
    songs: int = 20
    valid: int = 6
    test: int = 1  # songs that are made, but not used
    seconds: float = 10.0
    finder: str = str(SMALL_MODEL)
    remedies: list[str] = field(default_factory=lambda: ["truncation", "spans", "both"])
    out: str = "bench/dirty_labels"
    overrides: list[str] = field(default_factory=list)


def main() -> None:
    """Train in all ways and print the table."""
    given = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    options: Options = OmegaConf.to_object(given)
    out = Path(options.out)
    SyntheticSongs(
        out / "right", options.songs, options.valid, options.test, options.seconds
    ).prepare()
    scores: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        wrong = exchange(out / "right", out / f"wrong{seed}", options.share, seed)
        right = score(options, out / f"run{seed}/right", out / "right", seed)
        scores.setdefault("right labels", []).append(right)
        model = out / f"run{seed}/wrong"
        scores.setdefault("wrong labels", []).append(score(options, model, wrong, seed))
        spans = out / f"run{seed}/spans.csv"
        find(str(model) if options.finder == "self" else options.finder, wrong, spans)
        remedies = {"truncation": ["loss_truncation=0.2"], "spans": [f"data.spans={spans}"]}
        remedies["both"] = [*remedies["truncation"], *remedies["spans"]]
        for name in options.remedies:
            folder = out / f"run{seed}/{name}"
            scores.setdefault(name, []).append(score(options, folder, wrong, seed, *remedies[name]))
    print(table(scores), flush=True)


def exchange(right: Path, wrong: Path, share: float, seed: int) -> Path:
    """Make a data set of links in which vocals of some training songs are another stem."""
    train = sorted((right / "train").iterdir())
    drawn = np.random.default_rng(seed).permutation(len(train))[: round(share * len(train))]
    for split in ("train", "valid"):
        for song in sorted((right / split).iterdir()):
            names = dict(zip(STEMS, STEMS, strict=True))
            if split == "train" and train.index(song) in drawn:
                other = STEMS[1 + list(drawn).index(train.index(song)) % 3]
                names |= {"vocals": other, other: "vocals"}
            (wrong / split / song.name).mkdir(parents=True, exist_ok=True)
            for stem, source in names.items():
                link = wrong / split / song.name / f"{stem}.wav"
                link.unlink(missing_ok=True)
                link.symlink_to((song / f"{source}.wav").resolve())
    return wrong


def score(options: Options, folder: Path, root: Path, seed: int, *keys: str) -> float:
    """Train, and print and return the SI-SDR of the validation songs in dB."""
    given = [f"data.root={root}", f"data.chunks_per_epoch={8 * options.steps}", f"seed={seed}"]
    given += [f"paths.run_dir={folder}", f"pool.folder={options.out}/pool"]
    value = train_run(compose("train", [*KEYS, *given, *keys, *options.overrides]))
    print(f"seed {seed}, {folder.name}: {value:.2f} dB", flush=True)
    return value


def find(model: str, root: Path, table: Path) -> None:
    """Write the spans of the training songs in which a model finds foreign sound."""
    separator = load_separator(model)
    tracks = StemFolder(root, STEMS).tracks("train")
    spans = [span for track in tracks for span in foreign_spans(track, separator, FOREIGN_DB)]
    table.parent.mkdir(parents=True, exist_ok=True)
    write_csv(table, MarkedSpan._fields, (span._asdict() for span in spans))


def table(scores: dict[str, list[float]]) -> str:
    """Scores, falls from the right labels with their intervals, and what is left of the fall."""
    lines = [f"{'labels':<14}{'SI-SDR':>8}{'fall':>8}  95 % interval     left of the fall"]
    right, wrong = (np.array(scores[f"{name} labels"]) for name in ("right", "wrong"))
    worst = float((right - wrong).mean())
    for name, values in scores.items():
        falls = right - np.array(values)
        line = f"{name:<14}{np.mean(values):>8.2f}"
        if name != "right labels":
            error = stats.sem(falls) if len(falls) > 1 else np.nan
            reach = stats.t.ppf(0.975, max(1, len(falls) - 1)) * error
            mean = float(falls.mean())
            line += (
                f"{mean:>8.2f}  {mean - reach:>6.2f} to {mean + reach:<6.2f} {mean / worst:>8.0%}"
            )
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
