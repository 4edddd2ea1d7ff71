"""How much memory a separation may take."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from auralflow_pl.device import give_back_freed_memory
from auralflow_pl.errors import InputError
from auralflow_pl.separation import Separator

UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
LARGEST_BATCH = 16
MEASURED = 2**19  # samples of a window that show how memory grows with it
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def parse_size(text: str) -> float:
    """Bytes of `1GB`, `800M` and the like."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if not match or not float(match[1]):
        raise InputError(f"max_ram={text}: expected a size such as 1GB or 800MB")
    return float(match[1]) * UNITS[match[2].upper()]


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
        while (need := memory_of_window(separator)) + in_use(device) > allowed:
            if not separator.shrink():
                raise InputError(
                    f"max_ram={size}: the program takes {in_use(device) / 1e6:.0f} MB and the "
                    f"shortest window {need / 1e6:.0f} MB; allow more"
                )
        if device.type == "cuda":
            most = int((allowed - in_use(device)) / need)
            separator.batch_size = max(1, min(LARGEST_BATCH, most))


def memory_of_window(separator: Separator) -> float:
    """Bytes that a batch of windows takes at its peak, measured with shorter ones if it is long."""
    whole = separator.windows.length
    length = min(whole, max(whole // 4, MEASURED))
    window = separator.stft.window
    audio = window.new_zeros(separator.batch_size, separator.channels, length)
    with torch.inference_mode():
        separator.estimate_windows(audio[..., : separator.stft.n_fft])  # what is allocated once
        before = in_use(window.device)
        forget_peak(window.device)
        separator.estimate_windows(audio)
    waiting = 16 * audio.numel() * audio.element_size() * len(separator.targets)
    return whole / length * (max(0, peak(window.device) - before) + waiting)


def in_use(device: torch.device) -> float:
    """Bytes that are taken now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    give_back_freed_memory()
    return status("VmRSS")


def peak(device: torch.device) -> float:
    """Bytes at the highest moment since `forget_peak`."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else status("VmHWM")


def forget_peak(device: torch.device) -> None:
    """Begin a new search for the highest moment."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")


def status(key: str) -> float:
    """An entry of /proc/self/status in bytes; without it, the peak of the whole process."""
    if STATUS.exists():
        entry = re.search(rf"{key}:\s+(\d+) kB", STATUS.read_text())
        if entry:
            return float(entry[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
