"""Settings of glibc's memory allocator; without effect on other C libraries."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # constants of <malloc.h>

M_MMAP_MAX, M_ARENA_MAX = -4, -8

SHARED_THRESHOLDS = 2**25, 2**27  # bytes; of mappings and of free memory at the end of the heap

RETURNING_THRESHOLDS = 2**16, 2**16

in_force: list[tuple[int, int]] = []  # thresholds that `share_one_heap` set


def keep_freed_memory() -> None:
    """Stop glibc from returning freed memory to the system (speeds up training).

    By default every large tensor is a new mapping, and the kernel clears each of its pages;
    `scripts/bench_models.py` measures the cost for a training step.
    """
    glibc_library("mallopt", M_MMAP_MAX, 0)
    glibc_library("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)
    glibc_library("mallopt", M_TOP_PAD, 2**28)


def share_one_heap() -> None:
    """Let all threads of this process allocate from one heap (saves memory).

    By default every thread has its own heap, and memory that is free in one heap is not available
    to other threads. Only tensors of more than 32 MiB get mappings of their own. Up to 128 MiB of
    free memory at the end of the heap are kept, so the kernel has fewer pages to clear.
    """
    glibc_library("mallopt", M_ARENA_MAX, 1)
    set_thresholds(SHARED_THRESHOLDS)
    in_force.append(SHARED_THRESHOLDS)


def set_thresholds(thresholds: tuple[int, int]) -> None:
    """Set the size of tensors with mappings of their own, and of free memory that is kept."""
    for option, size in zip((M_MMAP_THRESHOLD, M_TRIM_THRESHOLD), thresholds, strict=True):
        glibc_library("mallopt", option, size)


@contextmanager
def returning_freed_memory() -> Iterator[None]:
    """Return what the block frees to the system at once, where `share_one_heap` was called.

    For work that allocates tensors of many sizes once: the holes that they would leave in the heap
    are as large as the tensors.
    """
    give_back_freed_memory()
    if in_force:
        set_thresholds(RETURNING_THRESHOLDS)
    try:
        yield
    finally:
        if in_force:
            set_thresholds(in_force[-1])
        give_back_freed_memory()


def give_back_freed_memory() -> None:
    """Return freed memory of the heap to the system."""
    glibc_library("malloc_trim", 0)


def glibc_library(function: str, *numbers: int) -> None:
    """Call a function of the C library on Linux, if the library has it."""
    found = getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
    if found is not None:
        found(*numbers)
