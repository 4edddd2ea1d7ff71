"""Benchmark of song synthesis: seconds of audio per second, in one process.

python scripts/bench_synthetic.py
"""

from __future__ import annotations

import time

from auralflow_pl.data.synthesis.song import render_song

SECONDS, SONGS = 15.0, 8


def main() -> None:
    """Render songs of the default length and print the ratio to real time."""
    render_song((1, 0, 0), 2.0)  # warm-up: imports and FFT plans
    start = time.perf_counter()
    for index in range(SONGS):
        render_song((2, 0, index), SECONDS)
    taken = time.perf_counter() - start
    print(f"synthetic songs: {SONGS * SECONDS / taken:.0f} times real time (one process)")


if __name__ == "__main__":
    main()
