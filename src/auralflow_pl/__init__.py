"""auralflow_pl: a research framework for music source separation."""

from __future__ import annotations

import importlib
from typing import Any

from auralflow_pl.version import __version__

__all__ = ["Separator", "__version__", "load"]

PUBLIC = {
    "load": ("separator.load", "load_separator"),
    "Separator": ("separator.separator", "Separator"),
}


def __getattr__(name: str) -> Any:
    """The public names, imported (and torch with them) when they are first used."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = PUBLIC[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
