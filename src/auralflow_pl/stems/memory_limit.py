"""Choose windows and batches that fit into a memory limit."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from auralflow_pl.errors import InputError
from auralflow_pl.separator.separator import Separator
from auralflow_pl.system.memory import memory_in_use, parse_size, peak_memory, reset_peak_memory

MAX_BATCH_SIZE = 16

MEASURED_WINDOWS = 2**19  # samples of a window that show how memory grows with it


def fit_memory(separators: Sequence[Separator], size: str) -> None:
    """Choose windows and batches such that the process stays below a size.

    On a GPU, batches become as large as the memory that is allowed there; a CPU gains nothing by
    that. Where a window is too much, it is halved.

    Raises:
        InputError: the shortest windows are too much.
    """
    allowed = parse_size(size)
    for separator in separators:
        device = separator.stft.window.device
        while (need := memory_of_window(separator)) + memory_in_use(device) > allowed:
            if not separator.shrink():
                raise InputError(
                    f"max_ram={size}: the program takes {memory_in_use(device) / 1e6:.0f} MB and "
                    f"the shortest window {need / 1e6:.0f} MB; allow more"
                )
        if device.type == "cuda":
            most = int((allowed - memory_in_use(device)) / need)
            separator.batch_size = max(1, min(MAX_BATCH_SIZE, most))


def memory_of_window(separator: Separator) -> float:
    """Bytes that a batch of windows takes at its peak, measured with shorter ones if it is long."""
    whole = separator.windows.length
    length = min(whole, max(whole // 4, MEASURED_WINDOWS))
    window = separator.stft.window
    audio = window.new_zeros(separator.batch_size, separator.channels, length)
    with torch.inference_mode():
        separator.estimate_windows(audio[..., : separator.stft.n_fft])  # what is allocated once
        before = memory_in_use(window.device)
        reset_peak_memory(window.device)
        separator.estimate_windows(audio)
    waiting = 16 * audio.numel() * audio.element_size() * len(separator.targets)
    return whole / length * (max(0, peak_memory(window.device) - before) + waiting)
