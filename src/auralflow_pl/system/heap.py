"""Settings of glibc's heap."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of <malloc.h>

M_MMAP_MAX, M_ARENA_MAX = -4, -8


def keep_freed_memory() -> None:
    """Let this process keep the memory that tensors give back, where the C library is glibc.

    By default every large tensor is mapped anew, and the kernel clears each of its pages;
    `scripts/bench_models.py` measures what that costs a training step.
    """
    glibc_library("mallopt", M_MMAP_MAX, 0)
    glibc_library("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)
    glibc_library("mallopt", M_TOP_PAD, 2**28)


def share_one_heap() -> None:
    """Let all threads of this process allocate from one heap, where the C library is glibc.

    By default every thread has its own, and what is free in one of them is no use to the others.
    Only tensors of more than 32 MiB are mapped by themselves, and 128 MiB at the end of the heap
    are kept when they are free, so the kernel has fewer pages to clear.
    """
    glibc_library("mallopt", M_ARENA_MAX, 1)
    glibc_library("mallopt", M_MMAP_THRESHOLD, 2**25)
    glibc_library("mallopt", M_TRIM_THRESHOLD, 2**27)


def give_back_freed_memory() -> None:
    """Return to the system what is free between the pieces in use, where the C library is glibc."""
    glibc_library("malloc_trim", 0)


def glibc_library(function: str, *numbers: int) -> None:
    """Call a function of the C library if it has it."""
    found = getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
    if found is not None:
        found(*numbers)
