"""Choosing where to compute."""

from __future__ import annotations

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
