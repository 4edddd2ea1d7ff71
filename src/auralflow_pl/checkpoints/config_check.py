"""Checks of the configuration stored with a model: plain values, bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auralflow_pl.checks.kinds import expect_mapping, expect_number, expect_whole
from auralflow_pl.errors import InputError, shown

MAX_CONFIG_VALUES = 2**20  # values and characters in total

MAX_CONFIG_DEPTH = 50

MAX_INTEGER_BITS = 64

MAX_CHUNK_SECONDS = 10**6

MAX_STEPS = 2**53


def check_config(config: Mapping[str, Any]) -> None:
    """Check the configuration stored with a model before it is used.

    Raises:
        InputError: the configuration holds other than plain values, is too large, lacks `data`,
            or has an invalid value for a key of `CONFIG_CHECKS`.
    """
    check_plain(config)
    if "${" in str(config.get("model")):  # names of folders may hold it
        raise InputError("configuration: model holds ${; expected resolved values")
    if config.get("data") is None:
        raise InputError("configuration: data is missing; export or train it again")
    for key, kind in CONFIG_CHECKS.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            check_kind(key, value, kind)


def check_step(step: Any) -> None:
    """Raise InputError unless `step` is a whole number from 0 to `MAX_STEPS`."""
    if type(step) is not int or not 0 <= step <= MAX_STEPS:
        raise InputError(f"step={shown(step)}: expected a number of steps")


def check_kind(key: str, value: Any, kind: Any) -> None:
    """Raise InputError if `kind(value)` raises ValueError; `key` is named in the message."""
    try:
        kind(value)
    except ValueError as error:
        raise InputError(f"{key}={shown(value)}: expected {error}") from None


def check_plain(config: Mapping[str, Any]) -> None:
    """Raise InputError unless a configuration is nested plain values of bounded size and depth.

    Containers that occur in several places are counted in each. A container that holds itself
    exceeds the allowed depth.
    """
    waiting: list[tuple[Any, int]] = [(config, 0)]
    size = 0
    while waiting:
        value, depth = waiting.pop()
        size += 1 + (len(value) if isinstance(value, str | dict | list | tuple) else 0)
        if size > MAX_CONFIG_VALUES:
            raise InputError(f"configuration: more than {MAX_CONFIG_VALUES} values and characters")
        if depth > MAX_CONFIG_DEPTH:
            raise InputError(f"configuration: nested more than {MAX_CONFIG_DEPTH} levels deep")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str | int | float):
                    raise InputError(f"configuration: {shown(key)}: expected names as keys")
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            waiting += [(part, depth + 1) for part in value]
        else:
            check_single(value)


def check_single(value: Any) -> None:
    """Raise InputError unless a value is None, a number or a string."""
    if not (value is None or isinstance(value, str | int | float)):
        kind = type(value).__name__
        raise InputError(f"configuration: holds a {kind}; expected plain texts and numbers")
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise InputError(f"configuration: holds a huge number of {value.bit_length()} bits")


def check_seconds_value(value: Any) -> float:
    """Check a duration, more than 0 and at most `MAX_CHUNK_SECONDS` seconds."""
    if not 0 < expect_number(value) <= MAX_CHUNK_SECONDS:
        raise ValueError(f"more than 0 and at most {MAX_CHUNK_SECONDS} seconds")
    return float(value)


def check_name(value: Any) -> str:
    """Check a name, which is a string."""
    if not isinstance(value, str):
        raise ValueError("a name")
    return value


def check_names(value: Any) -> tuple[str, ...]:
    """Check a list of names, which are strings."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError("a list of names")
    return tuple(value)


CONFIG_CHECKS = {  # checks of optional keys that describe the training
    "data": expect_mapping,
    "data.name": check_name,
    "data.file": check_name,
    "data.root": check_name,
    "data.roots": check_names,
    "data.url": check_name,
    "data.batch_size": expect_whole,
    "data.max_tracks": expect_whole,
    "trainer": expect_mapping,
    "trainer.accumulate_grad_batches": expect_whole,
    "chunk_seconds": check_seconds_value,
}
