"""Checks of single values."""

from __future__ import annotations

import math

from auralflow_pl.errors import InputError, did_you_mean


def one_of(name: str, options: tuple[str, ...], key: str) -> str:
    """`name`, if it is one of `options`.

    Raises:
        InputError: it is not.
    """
    if name not in options:
        raise InputError(f"loss.{key}={name}: {did_you_mean(name, options)}")
    return name


def positive(value: float, key: str) -> float:
    """`value`, if it is more than 0.

    Raises:
        InputError: it is not.
    """
    if not 0 < value < math.inf:
        raise InputError(f"loss.{key}={value}: expected more than 0")
    return value
