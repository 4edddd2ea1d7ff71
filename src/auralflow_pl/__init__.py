"""auralflow_pl: a research framework for music source separation."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["Separator", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """The public names, imported (and torch with them) when they are first used."""
    if name == "load":
        from auralflow_pl.checkpoint import load_separator

        return load_separator
    if name == "Separator":
        from auralflow_pl.separation import Separator

        return Separator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
