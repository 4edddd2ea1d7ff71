"""Choose windows and batches that fit into a memory limit."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from auralflow_pl.errors import InputError
from auralflow_pl.separator.separator import Separator
from auralflow_pl.system.memory import memory_in_use, parse_size, peak_memory, reset_peak_memory

MAX_BATCH_SIZE = 16

MEASURED_WINDOWS = 2**19  # samples of the shortest window whose memory is extrapolated


def fit_memory(separators: Sequence[Separator], size: str, at_once: int = 1) -> None:
    """Choose window lengths and batch sizes that keep the memory of the process below a limit.

    Batches and windows that need too much memory are halved. On a GPU, batches then become as
    large as the limit allows, at most `MAX_BATCH_SIZE`; on the CPU, larger batches save no time.

    Args:
        separators: the models, changed in place.
        size: limit such as `4GB`.
        at_once: files that are separated at a time on the device of the models.

    Raises:
        InputError: even the shortest windows need too much memory.
    """
    allowed = parse_size(size)
    for separator in separators:
        device = separator.stft.window.device
        while (need := at_once * memory_of_window(separator)) + memory_in_use(device) > allowed:
            if not separator.shrink():
                several, fewer = (
                    (f"{at_once} at a time ", " or fewer jobs") if at_once > 1 else ("", "")
                )
                raise InputError(
                    f"max_ram={size}: the program takes {memory_in_use(device) / 1e6:.0f} MB and "
                    f"the shortest windows {several}{need / 1e6:.0f} MB; allow more{fewer}"
                )
        if device.type == "cuda":
            most = separator.batch_size * int((allowed - memory_in_use(device)) / need)
            separator.batch_size = max(1, min(MAX_BATCH_SIZE, most))


def memory_of_window(separator: Separator) -> float:
    """Peak memory of a batch of windows, in bytes.

    It is measured, for long windows with shorter ones and then scaled by their length.
    """
    whole = separator.windows.length
    length = min(whole, max(whole // 4, MEASURED_WINDOWS))
    window = separator.stft.window
    audio = window.new_zeros(separator.batch_size, separator.channels, length)
    with torch.inference_mode():
        separator.estimate_windows(audio[..., : separator.stft.n_fft])  # one-time allocations
        before = memory_in_use(window.device)
        reset_peak_memory(window.device)
        separator.estimate_windows(audio)
    waiting = 16 * audio.numel() * audio.element_size() * len(separator.targets)
    return whole / length * (max(0, peak_memory(window.device) - before) + waiting)
