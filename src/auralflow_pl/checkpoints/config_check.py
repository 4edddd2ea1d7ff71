"""Checks of the configuration stored with a model: plain values, bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auralflow_pl.checks.kinds import mapping, number, whole
from auralflow_pl.errors import InputError, plainly

LARGEST = 2**20  # values and characters in all

DEEPEST = 50

LARGEST_BITS = 64  # of a whole number

LONGEST_CHUNK = 10**6  # seconds

MOST_STEPS = 2**53


def check_config(config: Mapping[str, Any]) -> None:
    """Check what the configuration of a model holds, before anything is made of it.

    Raises:
        InputError: something else than plain values, or what it says of the training is none.
    """
    check_plain(config)
    if config.get("data") is None:
        raise InputError("configuration: data is missing; export or train it again")
    for key, kind in FACTS.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            check_kind(key, value, kind)


def check_step(step: Any) -> None:
    """Raise InputError unless it can be a number of optimizer steps."""
    if type(step) is not int or not 0 <= step <= MOST_STEPS:
        raise InputError(f"step={plainly(step)}: expected a number of steps")


def check_kind(key: str, value: Any, kind: Any) -> None:
    """Raise InputError unless the function `kind` takes the value."""
    try:
        kind(value)
    except ValueError as error:
        raise InputError(f"{key}={plainly(value)}: expected {error}") from None


def check_plain(config: Mapping[str, Any]) -> None:
    """Raise InputError unless these are nested containers of texts and numbers, of bounded size.

    Containers may hold themselves or be held in many places; each place counts.
    """
    waiting: list[tuple[Any, int]] = [(config, 0)]
    size = 0
    while waiting:
        value, depth = waiting.pop()
        size += 1 + (len(value) if isinstance(value, str | dict | list | tuple) else 0)
        if size > LARGEST:
            raise InputError(f"configuration: more than {LARGEST} values and characters")
        if depth > DEEPEST:
            raise InputError(f"configuration: nested more than {DEEPEST} levels deep")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str | int):
                    raise InputError(f"configuration: {plainly(key)}: expected names as keys")
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            waiting += [(part, depth + 1) for part in value]
        else:
            check_single(value)


def check_single(value: Any) -> None:
    """Raise InputError unless it is a text without references, a number or nothing."""
    if not (value is None or isinstance(value, str | int | float)):
        kind = type(value).__name__
        raise InputError(f"configuration: holds a {kind}; expected plain texts and numbers")
    if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
        raise InputError(f"configuration: holds a huge number of {value.bit_length()} bits")
    if isinstance(value, str) and "${" in value:
        raise InputError(f"configuration: {plainly(value)} holds ${{; expected resolved values")


def seconds(value: Any) -> float:
    """A length of time."""
    if not 0 < number(value) <= LONGEST_CHUNK:
        raise ValueError(f"more than 0 and at most {LONGEST_CHUNK} seconds")
    return float(value)


def name(value: Any) -> str:
    """What something is called."""
    if not isinstance(value, str):
        raise ValueError("a name")
    return value


def names(value: Any) -> tuple[str, ...]:
    """What several things are called."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError("a list of names")
    return tuple(value)


FACTS = {  # that are told about a training, where they are known
    "data": mapping,
    "data.name": name,
    "data.root": name,
    "data.roots": names,
    "data.batch_size": whole,
    "data.max_tracks": whole,
    "trainer": mapping,
    "trainer.accumulate_grad_batches": whole,
    "chunk_seconds": seconds,
}
