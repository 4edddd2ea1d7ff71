"""Where to compute, and with which memory."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from auralflow_pl.errors import InputError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of <malloc.h>
M_MMAP_MAX, M_ARENA_MAX = -4, -8


def choose_device(name: str) -> torch.device:
    """`auto` for the GPU if there is one, else the CPU; or any name that torch knows.

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"device={name}: not available here; use device=auto or device=cpu"
        ) from error
    return device


def choose_devices(names: str | Sequence[str]) -> list[torch.device]:
    """One device, or several: each of them as for `choose_device`.

    Raises:
        InputError: no such device here, or none at all.
    """
    listed = names if isinstance(names, Sequence) and not isinstance(names, str) else [names]
    devices = [choose_device(str(name)) for name in listed]
    if not devices:
        raise InputError("device: an empty list; expected devices, as in [cuda:0,cuda:1]")
    return devices


def device_count(devices: Any) -> int:
    """How many devices `trainer.devices` means: a number, a list of numbers, or all (`auto`, -1).

    Raises:
        InputError: none of these, or no device.
    """
    if devices in ("auto", -1, "-1"):
        return max(1, torch.cuda.device_count())
    count = int(devices) if str(devices).isdecimal() else 0
    if not isinstance(devices, int | str):
        count = len(devices)
    if count < 1:
        raise InputError(f"trainer.devices={devices}: expected a number, a list of numbers or auto")
    return count


def device_of_process(name: str, trainer: Mapping[str, Any], number: int) -> str:
    """Name of the device of a process: of the GPUs, if there are any, each has its own.

    Args:
        name: as for `choose_device`; one with a number is kept.
        trainer: keys of the Trainer, of which `accelerator` and `devices` are read.
        number: of the process on this machine.
    """
    if trainer.get("accelerator") == "cpu":
        return "cpu"
    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    devices = trainer.get("devices", 1)
    return f"cuda:{number if isinstance(devices, int | str) else devices[number]}"


def computes_in_bfloat16(accelerator: str = "auto") -> bool:
    """Whether the hardware has instructions for bfloat16; a CPU without them imitates them slowly.

    Args:
        accelerator: `cpu` to ask for the CPU although there is a GPU.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def keep_freed_memory() -> None:
    """Let this process keep the memory that tensors give back, where the C library is glibc.

    By default every large tensor is mapped anew, and the kernel clears each of its pages;
    `scripts/bench_models.py` measures what that costs a training step.
    """
    glibc("mallopt", M_MMAP_MAX, 0)
    glibc("mallopt", M_TRIM_THRESHOLD, 2**31 - 1)
    glibc("mallopt", M_TOP_PAD, 2**28)


def share_one_heap() -> None:
    """Let all threads of this process allocate from one heap, where the C library is glibc.

    By default every thread has its own, and what is free in one of them is no use to the others.
    Only tensors of more than 32 MiB are mapped by themselves, and 128 MiB at the end of the heap
    are kept when they are free, so the kernel has fewer pages to clear.
    """
    glibc("mallopt", M_ARENA_MAX, 1)
    glibc("mallopt", M_MMAP_THRESHOLD, 2**25)
    glibc("mallopt", M_TRIM_THRESHOLD, 2**27)


def give_back_freed_memory() -> None:
    """Return to the system what is free between the pieces in use, where the C library is glibc."""
    glibc("malloc_trim", 0)


def glibc(function: str, *numbers: int) -> None:
    """Call a function of the C library if it has it."""
    found = getattr(ctypes.CDLL(None), function, None) if sys.platform == "linux" else None
    if found is not None:
        found(*numbers)
