"""Write a synthetic data set in the layout of MUSDB18-HQ.

python scripts/make_synthetic.py out=data/mine tracks=12 seconds=30 [seed=0] [workers=2]

`tracks` is the total number of songs: four sixths are for train, one for valid, one for test.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.data.sources.synthetic import SyntheticSongs
from auralflow_pl.errors import InputError


@dataclass
class Options:
    """Options of the command line."""

    out: str = "???"
    tracks: int = 36
    seconds: float = 15.0
    seed: int = 0
    workers: int | None = None


def main() -> None:
    """Generate the songs and print their folder."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    if OmegaConf.is_missing(options, "out"):
        raise InputError("missing required key: out; pass out=<folder>")
    if options.tracks < 3:
        raise InputError(f"tracks={options.tracks}: expected at least 3, one for each split")
    held_out = max(1, options.tracks // 6)
    songs = SyntheticSongs(
        Path(options.out),
        train_tracks=options.tracks - 2 * held_out,
        valid_tracks=held_out,
        test_tracks=held_out,
        seconds=options.seconds,
        seed=options.seed,
        workers=options.workers,
    )
    songs.prepare()
    print(options.out)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {str(error).splitlines()[0]}")
