"""Exceptions for mistakes a user can correct, and short safe texts for their messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class InputError(ValueError):
    """Bad input: the message names what was given, what was expected and what to do.

    The commands print it as a single line and exit with a code other than 0.
    """


class Cancelled(Exception):  # noqa: N818 - it is no error
    """A progress callback asked to stop."""


def printable(text: str) -> str:
    """A text on one line, with escapes for what a terminal or a file could not take."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def one_line(error: object, limit: int | None = 200) -> str:
    """The text of an exception on one line of at most `limit` characters."""
    return " ".join(str(error).split())[:limit]


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A hint for an unknown `name`: the nearest valid one, or else all of them."""
    valid = list(dict.fromkeys(valid))
    nearest = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean {nearest[0]!r}?" if nearest else f"expected one of {', '.join(valid)}"


def shown(value: Any) -> str:
    """A value for a message: short, and harmless on a terminal."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"
    shown = str(value)
    return (shown if shown.isprintable() else repr(shown))[:60]
