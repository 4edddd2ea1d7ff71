"""Values in a line of a table of shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from auralflow_pl.data.table import Row
from auralflow_pl.errors import InputError, shown


def whole(row: Row, column: str, limits: range) -> int:
    """A whole number of a line.

    Raises:
        InputError: it is none, or outside the limits.
    """
    value = row.values.get(column)
    if isinstance(value, bool) or not isinstance(value, int) or value not in limits:
        raise InputError(
            f"{row.place}: {column}={shown(value)}: expected a whole number from {limits[0]} to "
            f"{limits[-1]}"
        )
    return value


def pairs(row: Row, column: str) -> list[tuple[str, Any]]:
    """Names and values of an object in a line; of one that is not there: none.

    Raises:
        InputError: it is no object, or a name in it is there twice or not printable.
    """
    found = row.values.get(column, ())
    if not isinstance(found, tuple) or (column == "stems" and not found):
        raise InputError(f"{row.place}: {column}={shown(found)}: expected an object, {{...}}")
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        raise InputError(f"{row.place}: {column} has a name twice")
    if not all(name.isprintable() for name in names):
        raise InputError(f"{row.place}: {column} has a name that is not printable")
    return list(found)


def first_byte(row: Row, stem: str, given: Any, size: int) -> int:
    """First byte of the samples of a stem, after checking their number of bytes.

    Raises:
        InputError: expected two whole numbers, the second that of the samples of the track.
    """
    is_pair = isinstance(given, list) and len(given) == 2
    if not is_pair or any(type(one) is not int or not 0 <= one < 2**62 for one in given):
        raise InputError(
            f"{row.place}: stems.{shown(stem)}: expected first byte and number of bytes, as in "
            "[1536, 42336000]"
        )
    start, length = given
    if length != size:
        raise InputError(
            f"{row.place}: stems.{shown(stem)}: {length} bytes, expected {size} for the frames and "
            "channels of the track"
        )
    return int(start)


def powers_of(row: Row) -> Iterator[tuple[str, float]]:
    """Mean squares of the stems by name.

    Raises:
        InputError: one is no number from 0 on.
    """
    for stem, value in pairs(row, "powers"):
        power = Row(row.place, {f"powers.{stem}": value}).number(f"powers.{stem}")
        if power is None or power < 0:
            raise InputError(f"{row.place}: powers.{shown(stem)}: expected at least 0")
        yield stem, power


def label_text(row: Row, label: str, given: Any) -> str:
    """A label of a track.

    Raises:
        InputError: it is no printable text.
    """
    return Row(row.place, {f"labels.{label}": given}).text(f"labels.{label}")
