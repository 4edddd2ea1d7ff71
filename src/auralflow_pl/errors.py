"""Exceptions for mistakes a user can correct, and short safe texts for their messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any
from unicodedata import category


class InputError(ValueError):
    """A mistake that the user can correct.

    The message names the given value, the expected one and the remedy. The commands print it as a
    single line and exit with a nonzero status.
    """


class WriteError(InputError):
    """A file cannot be written, mostly because the disk is full."""


class Cancelled(Exception):  # noqa: N818 - not an error
    """Raised to stop a run after its progress callback returned False."""


def printable(text: str) -> str:
    """Replace the unprintable characters of a text, line breaks included, by escapes."""
    if text.isprintable():
        return text
    escaped = (c if is_plain(c) else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)


def printable_lines(text: str) -> str:
    """A text with its line breaks and without other unprintable characters."""
    return "\n".join(map(printable, text.split("\n")))


def is_plain(character: str) -> bool:
    """Whether a terminal shows a character, be it a wide space or a part of an emoji."""
    return character.isprintable() or category(character) == "Zs" or character in "\u200c\u200d"


def os_reason(error: OSError) -> str:
    """Why the system refused something; not every OSError has a `strerror`."""
    return error.strerror or one_line(error) or type(error).__name__


def one_line(error: object, limit: int | None = 200) -> str:
    """Text of an exception on one line, cut to `limit` characters (None: not cut)."""
    return " ".join(str(error).split())[:limit]


def did_you_mean(name: str, valid: Iterable[str], under: str = "") -> str:
    """Hint for an unknown `name`: the most similar valid name, or a list of all of them.

    Args:
        name: what was given.
        valid: what could have been meant; of short names more letters must agree.
        under: put before the names in the hint, as `model.`.
    """
    valid = list(dict.fromkeys(valid))
    nearest = get_close_matches(name, valid, n=1, cutoff=0.5 if len(name) > 3 else 0.65)
    if nearest:
        return f"did you mean {under + nearest[0]!r}?"
    return f"expected one of {', '.join(under + one for one in valid)}"


def shown(value: Any) -> str:
    """Format a value for a message: at most 60 characters, unprintable ones escaped."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"
    shown = str(value)
    return (shown if shown.isprintable() else repr(shown))[:60]
