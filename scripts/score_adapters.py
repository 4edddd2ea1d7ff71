"""Score trained low-rank changes of a model on the songs that they learned from, and on others.

python scripts/score_adapters.py --root songs --base pretrained:mixing-vocals runs/lora-*

Prints the mean SI-SDR of the model before and after, over the songs in <root>/train and in
<root>/valid, and the 95 % interval of the mean gain over songs. The gain of a song is its mean
over the runs, which differ in their seed. The last checkpoint of a run counts, so no song chooses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import auralflow_pl
from auralflow_pl.data import StemFolder
from auralflow_pl.evaluation.comparing.intervals import bootstrap_interval
from auralflow_pl.metrics.scale_invariant import si_sdr


@torch.inference_mode()
def scores(model: str | Path, source: StemFolder, split: str, target: str) -> list[float]:
    """SI-SDR in dB of the estimates of a target, for every track of a split."""
    separator = auralflow_pl.load(model, engine="torch")
    number, values = source.stems.index(target), []
    for track in source.tracks(split):
        mixture, stems = track.read()
        estimate = separator(mixture, track.sample_rate)[separator.targets.index(target)]
        values.append(float(si_sdr(estimate, stems[number]).mean()))
    return values


def main() -> None:
    """Print a line for each split."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", required=True, help="folder with train/ and valid/")
    parser.add_argument("--base", required=True, help="the model before")
    parser.add_argument("--target", default="vocals")
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of the trainings")
    options = parser.parse_args()
    source = StemFolder(options.root, ["vocals", "drums", "bass", "other"])
    for split in ("train", "valid"):
        before = np.array(scores(options.base, source, split, options.target))
        lasts = [run / "checkpoints" / "last.ckpt" for run in options.runs]
        after = np.array([scores(last, source, split, options.target) for last in lasts])
        gains = after.mean(0) - before
        interval = bootstrap_interval(list(gains), 0.95, 10_000, np.random.default_rng(0))
        each = ", ".join(f"{gain:+.2f}" for gain in (after - before).mean(1))
        print(
            f"{split}: {len(before)} songs, {len(after)} seeds: {before.mean():.2f} dB before, "
            f"{after.mean():.2f} after, gain {interval.mean:+.2f} [{interval.low:+.2f}, "
            f"{interval.high:+.2f}]; of the seeds {each}"
        )


if __name__ == "__main__":
    main()
