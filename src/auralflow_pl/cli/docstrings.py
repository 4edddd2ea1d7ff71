"""Read Google-style docstrings of classes and functions without importing their modules."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ARGUMENT_ENTRY = re.compile(r"^(\w+)(?: ?\([^)]*\))?: *(.*)$")


class ClassDefinition(NamedTuple):
    """Syntax tree of a class or function, with the name of its module."""

    module: str
    node: ast.ClassDef | ast.FunctionDef


@cache
def summary_of(target: str) -> str:
    """First paragraph of the docstring of a class or function; empty if there is none.

    Args:
        target: dotted name.
    """
    found = find_definition(target)
    return first_paragraph(docstring_of(found.node)) if found else ""


@cache
def argument_texts(target: str) -> dict[str, str]:
    """Texts of the arguments of a class or function, by name.

    An argument without a text, or whose text begins with "see `", has the text of a base class.

    Args:
        target: dotted name.
    """
    texts: dict[str, str] = {}
    for found in lineage(target):
        for node in (found.node, *constructor_of(found.node)):
            for name, text in argument_entries(docstring_of(node)).items():
                if not text.startswith("see `"):
                    texts.setdefault(name, text)
    return texts


def lineage(target: str) -> Iterator[ClassDefinition]:
    """Yield the definition of a dotted name and those of its base classes, nearest first."""
    found = find_definition(target)
    if found is None:
        return
    yield found
    for base in found.node.bases if isinstance(found.node, ast.ClassDef) else ():
        if name := resolve_name(found.module, ast.unparse(base).partition("[")[0]):
            yield from lineage(name)


def find_definition(target: str) -> ClassDefinition | None:
    """Definition of a dotted name, also if its module imports it; None if there is none."""
    module, _, name = target.rpartition(".")
    for node in parsed_module(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ClassDefinition(module, node)
    origin = import_table(module).get(name)
    return find_definition(origin) if origin else None


def resolve_name(module: str, name: str) -> str | None:
    """Full dotted name of a name used in a module; None for a built-in."""
    first, dot, rest = name.partition(".")
    known = {
        n.name: f"{module}.{n.name}"
        for n in parsed_module(module).body
        if isinstance(n, ast.ClassDef)
    }
    origin = (import_table(module) | known).get(first)
    return f"{origin}{dot}{rest}" if origin else None


@cache
def import_table(module: str) -> dict[str, str]:
    """Full names of the top-level imports of a module, by their names in the module."""
    names = {}
    for node in parsed_module(module).body:
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


@cache
def parsed_module(module: str) -> ast.Module:
    """Syntax tree of a module; empty if the module has no source."""
    package, *rest = module.split(".")
    spec = find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return ast.Module([], [])
    path = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8") if file.is_file() else "")


def constructor_of(node: ast.ClassDef | ast.FunctionDef) -> list[ast.FunctionDef]:
    """List with the `__init__` of a class; empty if it has none."""
    body = node.body if isinstance(node, ast.ClassDef) else []
    return [n for n in body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]


def docstring_of(node: ast.ClassDef | ast.FunctionDef) -> str:
    """Docstring of a class or function without indentation; empty if there is none."""
    return inspect.cleandoc(ast.get_docstring(node) or "")


def first_paragraph(text: str) -> str:
    """First paragraph of a text on one line."""
    return " ".join(text.partition("\n\n")[0].split())


def argument_entries(text: str) -> dict[str, str]:
    """First paragraph of each entry in the section `Args:` of a docstring, by name."""
    _, found, section = text.partition("Args:\n")
    lines = section.expandtabs().splitlines() if found else []
    indent = next((len(line) - len(line.lstrip()) for line in lines if line.strip()), 0)
    texts: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if line.strip() and depth < indent:
            break
        entry = ARGUMENT_ENTRY.match(line.strip()) if depth == indent else None
        if entry:
            name = entry[1]
            texts[name] = [entry[2]]
        elif name:
            texts[name].append(line.strip())
    return {name: first_paragraph("\n".join(part).strip()) for name, part in texts.items()}
