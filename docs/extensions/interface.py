"""Pages of the public names in Python: those that a folder of the package lists in `__all__`.

A name that several folders list is documented where it is listed first; the others refer to it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import auralflow_pl
from auralflow_pl.cli.table import COMMANDS
from extensions.writing import toctree, write_page

ROOT = auralflow_pl.__name__
MODULES = (f"{ROOT}.errors",)  # public modules that are no folders


def write_pages(folder: Path) -> None:
    """Write a page for each folder with public names into `<folder>/python`."""
    seen: dict[int, str] = {}
    names = [ROOT, *MODULES, *packages()]
    for name in names:
        write_page(folder / "python" / f"{name}.rst", package_page(name, seen))
    write_page(folder / "python" / "commands.rst", commands_page())
    write_page(folder / "python" / "index.md", index_page(names))


def packages() -> list[str]:
    """Folders of the package that list public names."""
    found = pkgutil.walk_packages(auralflow_pl.__path__, f"{ROOT}.")
    names = (module.name for module in found if module.ispkg)
    return [name for name in names if getattr(importlib.import_module(name), "__all__", ())]


def public_names(module: str) -> list[str]:
    """Public names of a folder or module."""
    found = importlib.import_module(module)
    if hasattr(found, "__all__"):
        return [name for name in found.__all__ if name != "__version__"]
    return [
        name
        for name, value in vars(found).items()
        if inspect.isclass(value) and value.__module__ == module
    ]


def package_page(module: str, seen: dict[int, str]) -> Iterator[str]:
    """Lines of the page of a folder.

    Args:
        module: dotted name of the folder.
        seen: names that are documented, by the identity of their objects; is added to.
    """
    yield from (module, "=" * len(module), "", f".. automodule:: {module}", "   :no-members:", "")
    for name in public_names(module):
        value = getattr(importlib.import_module(module), name)
        first = seen.setdefault(id(value), f"{module}.{name}") if callable(value) else ""
        if first and first != f"{module}.{name}":
            yield from (f".. py:data:: {name}", "", f"   The same as :py:obj:`{first}`.", "")
        elif inspect.isclass(value):
            yield from (f".. autoclass:: {module}.{name}", "   :members:", "")
        elif inspect.isroutine(value):
            yield from (f".. autofunction:: {module}.{name}", "")
        else:
            yield from (f".. py:data:: {name}", "", *constant_lines(module, name), "")


def constant_lines(module: str, name: str) -> Iterator[str]:
    """Kind and value of a constant."""
    value = getattr(importlib.import_module(module), name)
    text = f"``{value!r}``"
    if isinstance(value, Path) or len(text) > 200:
        text = f"A ``{type(value).__name__}``."
    yield f"   {text}"


def commands_page() -> Iterator[str]:
    """Lines of the page of the commands as functions."""
    title = "Commands as functions"
    yield from (title, "=" * len(title), "")
    yield from ("Each takes the configuration that :py:obj:`auralflow_pl.compose` makes.", "")
    for name, command in COMMANDS.items():
        path = ".".join(filter(None, (ROOT, "commands", command.folder, name.replace("-", "_"))))
        yield from (f".. autofunction:: {path}.{path.rpartition('.')[2]}", "")


def index_page(names: list[str]) -> Iterator[str]:
    """Lines of the list of pages."""
    yield from ("# Python", "", "Names in a folder's `__all__`, from the docstrings. How they are")
    yield from ("used is said in [the guide](../../python.md).", "")
    for name in names:
        summary = (importlib.import_module(name).__doc__ or "").partition("\n")[0]
        yield f"- [{name}]({name}.rst): {summary.removeprefix(f'{ROOT}: ')}"
    yield from ("- [Commands as functions](commands.rst)", "")
    yield from toctree([*names, "commands"])
