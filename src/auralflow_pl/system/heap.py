"""Settings of glibc's memory allocator; without effect on other C libraries.

A command that separates calls `share_one_heap` before it loads models, and `reuse_freed_memory`
before it separates.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # constants of <malloc.h>

M_MMAP_MAX, M_ARENA_MAX = -4, -8


def keep_freed_memory() -> None:
    """Stop glibc from returning freed memory to the system (speeds up training).

    By default every large tensor is a new mapping, and the kernel clears each of its pages;
    `scripts/bench_models.py` measures the cost for a training step.
    """
    glibc_library("mallopt", M_MMAP_MAX, 0)
    glibc_library("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)
    glibc_library("mallopt", M_TOP_PAD, 2**28)


def share_one_heap() -> None:
    """Let all threads of this process allocate from one heap, and return freed memory at once.

    By default every thread has its own heap, and memory that is free in one heap is not available
    to other threads. Tensors of more than 64 KiB get mappings of their own: while models are loaded
    tensors of many sizes are allocated once, and the holes that they would leave in the heap are
    as large as the tensors.
    """
    glibc_library("mallopt", M_ARENA_MAX, 1)
    glibc_library("mallopt", M_MMAP_THRESHOLD, 2**16)
    glibc_library("mallopt", M_TRIM_THRESHOLD, 2**16)


def reuse_freed_memory() -> None:
    """Keep up to 128 MiB of free memory at the end of the heap (speeds up separation).

    Windows are of one size, so the next one fits where the last one was, and the kernel has fewer
    pages to clear. Only tensors of more than 32 MiB get mappings of their own.
    """
    glibc_library("mallopt", M_MMAP_THRESHOLD, 2**25)
    glibc_library("mallopt", M_TRIM_THRESHOLD, 2**27)


def give_back_freed_memory() -> None:
    """Return freed memory of the heap to the system."""
    glibc_library("malloc_trim", 0)


def glibc_library(function: str, *numbers: int) -> None:
    """Call a function of the C library on Linux, if the library has it."""
    found = getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
    if found is not None:
        found(*numbers)
