"""Choose devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from auralflow_pl.errors import InputError


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


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
