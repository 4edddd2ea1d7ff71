"""Choice of devices and of the number of threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from auralflow_pl.errors import InputError


def choose_device(name: str) -> torch.device:
    """Choose a device: `auto` is the GPU if there is one, else the CPU; or any name of torch.

    Raises:
        InputError: the device is not available.
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


def device_name(name: str | torch.device) -> str:
    """Name of the GPU that `name` means, for a report; without it, that there is none."""
    if torch.device(name).type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(name)
    return f"CPU ({os.cpu_count()} cores)" if str(name) == "cpu" else f"no {name} device"


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done its work, for measurements; on the CPU there is nothing to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def choose_devices(names: str | Sequence[str]) -> list[torch.device]:
    """Choose one or several devices; see `choose_device`.

    Raises:
        InputError: a device is not available, or the list is empty.
    """
    listed = names if isinstance(names, Sequence) and not isinstance(names, str) else [names]
    devices = [choose_device(str(name)) for name in listed]
    if not devices:
        raise InputError("device: an empty list; expected devices, as in [cuda:0,cuda:1]")
    return devices


def device_count(devices: Any) -> int:
    """Number of devices for `trainer.devices`: a number, a list of numbers, or all (`auto`, -1).

    Raises:
        InputError: any other value, or no device.
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
    """Name of the device of a process; with GPUs, each process has its own.

    Args:
        name: as for `choose_device`; a name with a number is kept.
        trainer: keys of the Trainer; `accelerator` and `devices` are used.
        number: number of the process on this machine.
    """
    if trainer.get("accelerator") == "cpu":
        return "cpu"
    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return name
    devices = trainer.get("devices", 1)
    return f"cuda:{number if isinstance(devices, int | str) else devices[number]}"


def computes_in_bfloat16(accelerator: str = "auto") -> bool:
    """Whether the hardware has bfloat16 instructions; a CPU without them emulates them slowly.

    Args:
        accelerator: `cpu` to test the CPU even if there is a GPU.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of threads of torch to `count` within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
