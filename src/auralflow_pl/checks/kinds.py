"""Checks of the values of untrusted YAML files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auralflow_pl.errors import InputError, did_you_mean, shown


def check_mapping(
    node: Any, kinds: Mapping[str, Callable[[Any], Any]], where: str, optional: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the checked values of a mapping.

    Args:
        node: value that should be a mapping.
        kinds: for each key, a function that returns the checked value, or raises ValueError with a
            description of the expected value.
        where: text in front of a key in messages.
        optional: keys that may be missing.

    Raises:
        InputError: not a mapping, an unknown or missing key, or a wrong value.
    """
    if not isinstance(node, dict):
        place = where.rstrip(".: ")
        raise InputError(f"{place}: is {shown(node)}, expected keys {', '.join(kinds)}")
    for key in node:
        if key not in kinds:
            hint = did_you_mean(str(key)[:64], kinds)
            raise InputError(f"{where}{shown(key)}: no such key, {hint}")
    for key in kinds:
        if key not in node and key not in optional:
            raise InputError(f"{where}{key}: is missing")
    values = {}
    for key, value in node.items():
        try:
            values[key] = kinds[key](value)
        except ValueError as error:
            raise InputError(f"{where}{key}={shown(value)}: expected {error}") from None
    return values


def expect_text(value: Any) -> str:
    """Return a text on one line, without control characters.

    Raises:
        ValueError: any other value, or an empty text.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text")
    line = " ".join(value.split())
    if not line.isprintable():
        raise ValueError("text without control characters")
    return line


def expect_whole(value: Any) -> int:
    """Return a whole number of at least 1.

    Raises:
        ValueError: any other value.
    """
    if type(value) is not int or value < 1:
        raise ValueError("a whole number from 1 on")
    return value


def expect_number(value: Any) -> float:
    """Return a finite number.

    Raises:
        ValueError: any other value.
    """
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a number")
    return float(value)


def expect_mapping(value: Any) -> dict[Any, Any]:
    """Return a mapping.

    Raises:
        ValueError: any other value.
    """
    if not isinstance(value, dict):
        raise ValueError("keys and values")
    return value


def expect_sequence(value: Any) -> list[Any]:
    """Return a list that is not empty.

    Raises:
        ValueError: any other value.
    """
    if not isinstance(value, list) or not value:
        raise ValueError("a list")
    return value


def expect_words(value: Any) -> tuple[str, ...]:
    """Return the texts in a list that is not empty; see `expect_text`.

    Raises:
        ValueError: any other value.
    """
    return tuple(expect_text(item) for item in expect_sequence(value))
