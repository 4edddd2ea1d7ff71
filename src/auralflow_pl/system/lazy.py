"""Names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make `__getattr__` and `__dir__` of a package whose modules take long to import.

    The package imports its public names under `if TYPE_CHECKING:`, for editors and type checkers;
    the program takes from the same lines where each name comes from.

    Args:
        package: `__name__` of the package.
    """
    module = sys.modules[package]
    sources: dict[str, tuple[str, str]] = {}

    def load_name(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not sources:
            sources.update(deferred_imports(inspect.getsource(module)))
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        origin, attribute = sources[name]
        value = getattr(importlib.import_module(origin), attribute)
        setattr(module, name, value)  # the next use finds it at once
        return value

    def list_names() -> list[str]:
        return sorted({*vars(module), *module.__all__})

    return load_name, list_names


def deferred_imports(source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """The names below `if TYPE_CHECKING:`, each with its module and its name there."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    for alias in line.names:
                        yield alias.asname or alias.name, (line.module, alias.name)
