"""YAML from other people: read without running anything, and checked key by key."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from auralflow_pl.errors import InputError, did_you_mean

LARGEST = 2**20  # bytes of a file


def load(path: Path) -> Any:
    """The plain values in a file.

    Raises:
        InputError: it cannot be read, or is no such YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise InputError(f"{path}: longer than {LARGEST} bytes")
        return yaml.load(content, Strict)  # noqa: S506 - it is a SafeLoader
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not YAML with plain values: {cause}") from error


class Strict(yaml.SafeLoader):
    """Plain values only, no key twice, and no references, which can stand for endless content."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse `*reference`."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("holds a reference (*); write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there already."""
        keys = [getattr(key, "value", None) for key, _ in node.value]
        twice = next((key for key in keys if isinstance(key, str) and keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"{twice:.64} is there twice")
        return super().construct_mapping(node, deep)


def checked(
    node: Any, kinds: Mapping[str, Callable[[Any], Any]], where: str, optional: Sequence[str] = ()
) -> dict[str, Any]:
    """The values of a mapping, each of its kind.

    Args:
        node: what should be a mapping.
        kinds: for each key, a function that returns a right value and raises ValueError with
            what was expected for a wrong one.
        where: what stands before a key in messages.
        optional: keys that may be missing.

    Raises:
        InputError: no mapping, a key that is unknown or missing, or a value of another kind.
    """
    if not isinstance(node, dict):
        place = where.rstrip(".: ")
        raise InputError(f"{place}: is {plainly(node)}, expected keys {', '.join(kinds)}")
    for key in node:
        if key not in kinds:
            hint = did_you_mean(str(key)[:64], kinds)
            raise InputError(f"{where}{plainly(key)}: no such key, {hint}")
    for key in kinds:
        if key not in node and key not in optional:
            raise InputError(f"{where}{key}: is missing")
    values = {}
    for key, value in node.items():
        try:
            values[key] = kinds[key](value)
        except ValueError as error:
            raise InputError(f"{where}{key}={plainly(value)}: expected {error}") from None
    return values


def plainly(value: Any) -> str:
    """A value for a message: short, and harmless on a terminal."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"
    shown = str(value)
    return (shown if shown.isprintable() else repr(shown))[:60]


def text(value: Any) -> str:
    """Words, without characters that control a terminal."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text")
    line = " ".join(value.split())
    if not line.isprintable():
        raise ValueError("text without control characters")
    return line


def whole(value: Any) -> int:
    """A number of things."""
    if type(value) is not int or value < 1:
        raise ValueError("a whole number from 1 on")
    return value


def number(value: Any) -> float:
    """Any finite number."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a number")
    return float(value)


def mapping(value: Any) -> dict[Any, Any]:
    """Keys and values."""
    if not isinstance(value, dict):
        raise ValueError("keys and values")
    return value


def sequence(value: Any) -> list[Any]:
    """Some items."""
    if not isinstance(value, list) or not value:
        raise ValueError("a list")
    return value


def words(value: Any) -> tuple[str, ...]:
    """Some texts."""
    return tuple(text(item) for item in sequence(value))
