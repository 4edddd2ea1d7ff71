"""Check of the keys and values of a configuration against the signature of a constructor."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from auralflow_pl.errors import InputError, did_you_mean, shown

SCALAR_TYPES = (bool, int, float, str, types.NoneType)


def check_arguments(function: Callable[..., Any], values: Mapping[str, Any], where: str) -> None:
    """Raise InputError for a key that is not an argument, or a value of the wrong type.

    Of lists and mappings only those are found that are given for a single value.

    Args:
        function: class or function that will be called.
        values: keys and plain values.
        where: key of the node, for the message.
    """
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    hints = type_hints(function)
    for name, value in values.items():
        if name not in parameters:
            raise InputError(f"{where}.{name}: no such key, {did_you_mean(name, parameters)}")
        if not fits_type(value, hints.get(name, Any)):
            expected = inspect.formatannotation(hints[name])
            for module in ("typing.", "pathlib."):
                expected = expected.replace(module, "")
            raise InputError(f"{where}.{name}={shown(value)}: expected {expected}")


def type_hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Type annotations of the arguments; empty if they cannot be resolved."""
    try:
        if isinstance(function, type):
            return typing.get_type_hints(function.__init__)  # type: ignore[misc]
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def fits_type(value: Any, hint: Any) -> bool:
    """Whether a value matches an annotation; True for what neither of them lets judge."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    options = typing.get_args(hint) if union else (hint,)
    if Any in options or not all(isinstance(option, type) for option in options):
        return True
    if not isinstance(value, SCALAR_TYPES):
        return not isinstance(value, list | dict) or not set(options) <= {*SCALAR_TYPES, Path}
    if isinstance(value, bool):
        return bool in options
    return isinstance(value, options) or (isinstance(value, int) and float in options)
