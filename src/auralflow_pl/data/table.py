"""Tables as CSV or JSON Lines files, read strictly: every fault is named with its line."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.errors import InputError, did_you_mean, is_plain, one_line, shown
from auralflow_pl.system.files import check_file

SUFFIXES = (".csv", ".jsonl")

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


class Row(NamedTuple):
    """A line of a table; empty cells are left out of its values."""

    place: str  # file and line, for messages
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """A printable text.

        Raises:
            InputError: it is none, or it is missing.
        """
        value = self.values.get(column)
        if value is None:
            raise InputError(f"{self.place}: no {column}; expected one in every line")
        if not isinstance(value, str) or not all(map(is_plain, value)):
            raise InputError(f"{self.place}: {column}={shown(value)}: expected a printable text")
        return value

    def number(self, column: str) -> float | None:
        """A finite number; None: not given.

        Raises:
            InputError: it is no number.
        """
        value = self.values.get(column)
        if value is None:
            return None
        try:
            number = math.nan if isinstance(value, bool) or "_" in str(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"{self.place}: {column}={shown(value)}: expected a number, as in 1.5")
        return number


def read_rows(path: Path, required: Sequence[str], optional: Sequence[str]) -> list[Row]:
    """Read all lines that are not empty.

    Args:
        path: a file in UTF-8 whose name ends with `.csv` (with commas and a line of column names)
            or `.jsonl` (a JSON object in each line).
        required: columns that there must be.
        optional: further columns that there may be.

    Raises:
        InputError: another suffix, an unreadable file, an unknown, repeated or missing column, or a
            line that is not valid.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a file with the suffix {' or '.join(SUFFIXES)}")
    check_file(path)
    return list(parse_rows(str(path), path.read_bytes(), required, optional))


def parse_rows(
    path: str, content: bytes, required: Sequence[str], optional: Sequence[str]
) -> Iterator[Row]:
    """Yield the lines of a table that are not empty, as in `read_rows`, of the content of a file.

    Raises:
        InputError: it is not valid.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from error
    read = csv_rows if path.lower().endswith(".csv") else json_rows
    for number, values in read(path, text):
        place = f"{path}, line {number}"
        for column in values:
            if column not in (*required, *optional):
                hint = did_you_mean(column, (*required, *optional))
                raise InputError(f"{place}: unknown column {shown(column)}, {hint}")
        for column in required:
            if column not in values:
                raise InputError(
                    f"{place}: no column {column}; expected {', '.join(required)}, "
                    f"and optional {', '.join(optional)}"
                )
        given = {column: value for column, value in values.items() if value not in (None, "")}
        if given:
            yield Row(place, given)


def csv_rows(path: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and values of each line, first of that with the names of the columns.

    The names come with empty values, as a line without any.

    Raises:
        InputError: not comma-separated values, or a line with too many or too few.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    line = 1
    while True:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path}, line {line}: not CSV ({one_line(error)})") from error
        if columns and any(cells) and len(cells) != len(columns):
            raise InputError(
                f"{path}, line {line}: {len(cells)} values, expected {len(columns)} "
                f"({','.join(columns)}); put a value with a comma in double quotes"
            )
        if columns and any(cells):
            yield line, dict(zip(columns, cells, strict=True))
        elif any(cells):
            columns = cells
            check_columns(f"{path}, line {line}", columns)
            yield line, dict.fromkeys(columns, "")
        line = reader.line_num + 1


def check_columns(place: str, columns: Sequence[str]) -> None:
    """Raise InputError if names of columns are empty, repeated or not separated by commas."""
    for separator, name in OTHER_SEPARATORS.items():
        if len(columns) == 1 and separator in columns[0]:
            raise InputError(
                f"{place}: values are separated by {name}; expected commas: save the file again "
                "as CSV with commas, or as JSON Lines (.jsonl)"
            )
    if "" in columns:
        raise InputError(f"{place}: a column without a name; name it, or remove its comma")
    for column in columns:
        if columns.count(column) > 1:
            raise InputError(f"{place}: column {shown(column)} is there twice")


def json_rows(path: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and values of each line that is not empty.

    Raises:
        InputError: a line is no JSON object, or has a key twice.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            pairs = json.loads(line, object_pairs_hook=tuple)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: not JSON ({one_line(error)})") from error
        if not isinstance(pairs, tuple):
            raise InputError(f'{place}: expected an object, as in {{"track":"A","stem":"bass"}}')
        values = dict(pairs)
        check_columns(place, [key for key, _ in pairs])
        yield number, values
