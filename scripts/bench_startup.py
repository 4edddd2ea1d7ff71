"""Benchmark of the start-up time of commands, relative to `import torch`.

python scripts/bench_startup.py

Every round runs each command once, in a process of its own; results are medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 11
CASES = {
    "import torch": ["-c", "import torch"],
    "auralflow --help": ["-m", "auralflow_pl", "--help"],
    "auralflow train --help": ["-m", "auralflow_pl", "train", "--help"],
    "auralflow train --cfg job": ["-m", "auralflow_pl", "train", "--cfg", "job"],
    "auralflow config model=vae": ["-m", "auralflow_pl", "config", "model=vae"],
    "a TAB after train model=": ["-m", "auralflow_pl", "completion", "query", "train", "model="],
}


def main() -> None:
    """Print seconds and the ratio to the import of torch."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(ROUNDS + 1):
        for name, arguments in CASES.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if number:  # the first round fills the page cache
                seconds[name].append(time.perf_counter() - start)
    torch = statistics.median(seconds["import torch"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:<28} {median:6.2f} s  {median / torch:5.2f}")


if __name__ == "__main__":
    main()
