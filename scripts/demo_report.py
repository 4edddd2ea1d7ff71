"""Last step of `make demo`: draw pictures of a separation, and print where the results are.

python scripts/demo_report.py run=runs/demo excerpt=data/excerpt/stems
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from auralflow_pl.audio.reading import read_audio
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.report.figures import spectrogram_comparison
from auralflow_pl.separator.load import load_separator
from auralflow_pl.separator.separator import Separator

STEMS = ("vocals", "drums", "bass", "other")


def draw(separator: Separator, root: Path, output: Path) -> Path:
    """Draw mixture, estimate and target of the first test track below `root` as a PNG."""
    track = StemFolder(root, STEMS, max_tracks=1).tracks("test")[0]
    mixture, stems = track.read()
    start = track.sample_rate * 2 if track.frames > 10 * track.sample_rate else 0
    span = slice(start, start + 8 * track.sample_rate)
    estimate = separator(mixture, track.sample_rate)[0].detach()
    sounds = {"mixture": mixture, "estimate: vocals": estimate, "target: vocals": stems[0]}
    figure = spectrogram_comparison(
        {label: sound[:, span] for label, sound in sounds.items()}, track.sample_rate, track.name
    )
    figure.savefig(output, dpi=70)
    return output


def score(path: Path) -> str:
    """Summary of the mean scores of an eval.csv."""
    table = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    rows = [row for row in table if row["si_sdr"]]
    means = [
        sum(float(row[key]) for row in rows) / len(rows)
        for key in ("si_sdr", "si_sdr_mixture", "si_sdr_oracle")
    ]
    closed = (means[0] - means[1]) / (means[2] - means[1])
    return (
        f"SI-SDR {means[0]:+.2f} dB (mixture {means[1]:+.2f}, ideal ratio mask {means[2]:+.2f}): "
        f"{closed:.0%} of the gap"
    )


def main() -> None:
    """Draw two pictures and print the summary."""
    arguments = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if set(arguments) != {"run", "excerpt"}:
        sys.exit("error: expected run=<folder> excerpt=<folder>")
    run, excerpt = Path(arguments["run"]), Path(arguments["excerpt"])
    separator = load_separator(run / "checkpoints" / "best.ckpt")
    synthetic = Path(separator_data_root(run))
    pictures = [
        draw(separator, synthetic, run / "synthetic.png"),
        draw(separator, excerpt, run / "excerpt.png"),
    ]
    stems = sorted((run / "separated").rglob("*.wav"))
    print("\nlisten to (vocals and the rest of the song):")
    for path in stems:
        audio = read_audio(path)
        print(f"  {path}  {audio.samples.shape[-1] / audio.sample_rate:.1f} s")
    print("look at:")
    for picture in pictures:
        print(f"  {picture}")
    print(
        f"synthetic test songs, vocals: {score(run / f'eval/best/{synthetic.name}-test/eval.csv')}"
    )
    print(f"real excerpt, vocals:         {score(run / 'eval/best/stems-test/eval.csv')}")


def separator_data_root(run: Path) -> str:
    """Folder of the run's data set, from its saved configuration."""
    from omegaconf import OmegaConf

    return OmegaConf.load(run / "config.yaml").data.root


if __name__ == "__main__":
    main()
