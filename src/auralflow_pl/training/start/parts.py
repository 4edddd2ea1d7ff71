"""Parts of a network by name: how `freeze`, `lora.parts` and `optimizer.lr_scale` name weights."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from auralflow_pl.errors import InputError, did_you_mean


def find_weights(names: Iterable[str], pattern: str, key: str) -> list[str]:
    """The names of weights that are in a part of the network, or fit a pattern.

    Args:
        names: names of weights, as `network.named_parameters()` gives them.
        pattern: name of a part (`encoder`, `decoder.levels.0`) or pattern (`*.norm.*`).
        key: for the message, as `freeze=encoder`.

    Raises:
        InputError: it fits none.
    """
    names = list(names)
    found = [name for name in names if fits(name, pattern)]
    if not found:
        parts = [name[:dot] for name in names for dot in dots(name)]
        raise InputError(f"{key}: no such part of the network; {did_you_mean(pattern, parts)}")
    return found


def fits(name: str, pattern: str) -> bool:
    """Whether a weight is in a part of the network, or fits a pattern."""
    return name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def dots(name: str) -> list[int]:
    """Places of the dots in a name."""
    return [place for place, letter in enumerate(name) if letter == "."]
