"""What the Separator adds to its network, and what windows change, all in one run.

python scripts/bench_separation.py

Prints the time of the whole Separator as a ratio to the network alone on the same windows, and how
far separation in windows is from a single pass over the whole signal.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from auralflow_pl.models.unet import UNet
from auralflow_pl.separation import Separator
from auralflow_pl.signal.stft import STFT

RATE, SECONDS, REPEATS = 44100, 90, 5


def seconds(work: Callable[[], object]) -> float:
    """Median time of `work` after one run to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def make(network: UNet, window_seconds: float = 30.0) -> Separator:
    """A mono separator with the default STFT."""
    return Separator(network, STFT(), ["vocals"], RATE, 1, window_seconds).eval()


@torch.inference_mode()
def main() -> None:
    """Measure speed and agreement."""
    torch.manual_seed(0)
    network = UNet().to(memory_format=torch.channels_last).eval()
    audio = torch.randn(1, SECONDS * RATE) * 0.1
    windowed, whole = make(network), make(network, 10 * SECONDS)
    spans = list(windowed.windows.spans(audio.shape[-1]))
    magnitudes = [windowed.stft(audio[None, :, start:stop]).abs() for start, stop in spans]

    def network_alone() -> list[Tensor]:
        """The masks of all windows."""
        return [network(magnitude).mask for magnitude in magnitudes]

    ratio = seconds(lambda: windowed(audio)) / seconds(network_alone)
    print(f"separator / network alone on the same windows: {ratio:.2f}")
    estimate, reference = windowed(audio), whole(audio)
    error = (estimate - reference).square().sum() / reference.square().sum()
    print(f"windows against a single pass: {-10 * torch.log10(error):.0f} dB (random weights)")


if __name__ == "__main__":
    main()
