"""Lazy imports of the public names of a package (PEP 562)."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make `__getattr__` and `__dir__` for a package whose modules take long to import.

    The package lists its public names as imports under `if TYPE_CHECKING:`, which editors and type
    checkers read. `__getattr__` reads the same lines to find the module of a name.

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
        setattr(module, name, value)  # later uses need no `__getattr__`
        return value

    def list_names() -> list[str]:
        return sorted({*vars(module), *module.__all__})

    return load_name, list_names


def deferred_imports(source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the names imported under `if TYPE_CHECKING:`, with their modules and names there."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    for alias in line.names:
                        yield alias.asname or alias.name, (line.module, alias.name)
