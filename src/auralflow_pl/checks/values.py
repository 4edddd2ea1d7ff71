"""Checks of single values."""

from __future__ import annotations

import math
from collections.abc import Iterable

from auralflow_pl.errors import InputError, did_you_mean, shown


def one_of(key: str, value: str, options: Iterable[str]) -> str:
    """Return `value` if it is one of `options`.

    Raises:
        InputError: it is not; the message begins with `<key>=<value>`.
    """
    options = list(options)
    if value not in options:
        raise InputError(f"{key}={shown(value)}: {did_you_mean(shown(value), options)}")
    return value


def is_number(value: object) -> bool:
    """Whether a value is a finite number, and no bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def positive(key: str, value: float, unit: str = "") -> float:
    """Return `value` if it is a finite number above 0.

    Raises:
        InputError: it is not; the message begins with `<key>=<value>`.
    """
    if not is_number(value) or value <= 0:
        raise InputError(f"{key}={shown(value)}: expected {unit}{', ' if unit else ''}more than 0")
    return value


def within(key: str, value: float, low: float, high: float, unit: str = "") -> float:
    """Return `value` if it is from `low` to `high`.

    Raises:
        InputError: it is not; the message begins with `<key>=<value>`.
    """
    if isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{key}={shown(value)}: expected from {low} to {high} {unit}".rstrip())
    return value
