"""Time and memory of a large collection for `data=shards`, without its sound.

python scripts/bench_shards.py [tracks=150000] [minutes=4] [shard_gb=1] [draws=20000]

Writes a table of as many tracks as 10,000 hours have, beside tar files that take no space on the
disk, and prints what opening it takes, what drawing the positions of chunks takes, and what a
process holds. Times are those of the processor. No server is asked, which takes time of its own.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from omegaconf import OmegaConf

from auralflow_pl.data.augment import Remix
from auralflow_pl.data.chunks import ChunkDataset
from auralflow_pl.data.shards.reading import INDEX_NAME, Shards

RATE, STEMS = 44100, ("vocals", "drums", "bass", "other")


@dataclass
class Options:
    """Options of the command line."""

    tracks: int = 150_000
    minutes: float = 4.0
    shard_gb: float = 1.0
    draws: int = 20_000


def write_table(folder: Path, options: Options) -> tuple[int, float]:
    """Write the table and empty shards; return their number and the hours of music."""
    frames, place, shard, total = round(options.minutes * 60 * RATE), 0, 0, 0
    with (folder / INDEX_NAME).open("w", encoding="utf-8") as file:
        for number in range(options.tracks):
            length = frames + (number % 200 - 100) * RATE // 10
            size, stems = 4 * length, {}
            for stem in STEMS:
                stems[stem] = [place + 556, size]
                place += 1024 + size
            line = {
                "track": f"Artist {number // 12:05d} - Song {number:06d}",
                "split": "valid" if number == options.tracks - 1 else "train",
                "shard": f"train-{shard:05d}.tar",
                "sample_rate": RATE,
                "frames": length,
                "channels": 2,
                "subtype": "PCM_16",
                "stems": stems,
                "digest": f"{number:032x}",
                "powers": dict.fromkeys(STEMS, 0.0123456789 + number * 1e-9),
            }
            file.write(json.dumps(line) + "\n")
            total += length
            if place > options.shard_gb * 1e9 or number == options.tracks - 1:
                with (folder / line["shard"]).open("wb") as tar:
                    tar.truncate(place)
                place, shard = 0, shard + 1
    return shard, total / RATE / 3600


def resident_mb() -> float:
    """Resident memory of this process in MB."""
    return psutil.Process().memory_info().rss / 1e6


def main() -> None:
    """Measure and print."""
    given = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    options: Options = OmegaConf.to_object(given)
    with tempfile.TemporaryDirectory() as folder:
        shards, hours = write_table(Path(folder), options)
        size = (Path(folder) / INDEX_NAME).stat().st_size / 1e6
        print(f"{options.tracks} tracks, {hours:.0f} hours in {shards} shards, {size:.0f} MB table")
        before, start = resident_mb(), time.process_time()
        source = Shards(folder, STEMS)
        tracks = source.tracks("train")
        taken = time.process_time() - start
        print(f"opening the table: {taken:.1f} s, {resident_mb() - before:.0f} MB more memory")
        start = time.process_time()
        chunks = ChunkDataset(tracks, 2, RATE, 3.0, 0, [Remix(0.5)], stems=STEMS)
        taken = time.process_time() - start
        print(f"data set of chunks: {taken:.1f} s, {resident_mb() - before:.0f} MB in all")
        start = time.process_time()
        for number in range(options.draws):
            chunks.positions(number)
        rate = options.draws / (time.process_time() - start)
        print(f"positions of chunks: {rate:.0f} per second")
        start = time.process_time()
        size = len(pickle.dumps(chunks)) / 1e6
        taken = time.process_time() - start
        print(f"for a loader process that is not forked: {size:.0f} MB, {taken:.1f} s")
        start = time.process_time()
        for number in range(options.draws // 100 + 1):
            chunks[number]
        rate = (options.draws // 100 + 1) / (time.process_time() - start)
        print(f"chunks of 3 s and 4 stems, read from the disk: {rate:.0f} per second")


if __name__ == "__main__":
    sys.exit(main())
