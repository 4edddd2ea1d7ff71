"""Memory use of the process and of the GPU, and memory sizes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.system.heap import give_back_freed_memory

SIZE_EXPONENTS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}

SHORTAGE_WORDS = (
    "can't allocate memory",  # on Linux
    "not enough memory",  # on Windows
    "CUDA error: out of memory",  # outside of torch's allocator
    "_ALLOC_FAILED",  # cuDNN, cuBLAS and cuFFT, in CUDNN_STATUS_ALLOC_FAILED and others
    "could not create a primitive",  # oneDNN, which does not tell why
    "can't start new thread",  # Python, for want of memory or by a limit of the system
)

STATUS_FILE, CLEAR_REFS_FILE = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def parse_size(text: str) -> float:
    """Number of bytes of a size such as `1GB`, `800M` (decimal) or `1GiB` (binary).

    Raises:
        InputError: no such size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if not match or not float(match[1]):
        raise InputError(f"max_ram={text}: expected a size such as 1GB or 800MB")
    thousand = 1024 if match[3] else 1000
    return float(match[1]) * thousand ** SIZE_EXPONENTS[match[2].upper()]


def memory_in_use(device: torch.device) -> float:
    """Memory in use in bytes: of tensors on a GPU, or of the process."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    give_back_freed_memory()
    return float(psutil.Process().memory_info().rss)


def peak_memory(device: torch.device) -> float:
    """Largest memory use in bytes since `reset_peak_memory`.

    Only Linux can reset that of a process; elsewhere it counts from the start of the process.
    """
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_of_process()


def reset_peak_memory(device: torch.device) -> None:
    """Reset the largest memory use that `peak_memory` returns."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR_REFS_FILE.exists():
        CLEAR_REFS_FILE.write_text("5", encoding="utf-8")


def peak_of_process() -> float:
    """Largest resident memory of this process in bytes."""
    if STATUS_FILE.exists() and (
        entry := re.search(r"VmHWM:\s+(\d+) kB", STATUS_FILE.read_text(encoding="utf-8"))
    ):
        return float(entry[1]) * 1024
    usage = psutil.Process().memory_info()
    if hasattr(usage, "peak_wset"):  # Windows
        return float(usage.peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def is_memory_shortage(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in SHORTAGE_WORDS)
