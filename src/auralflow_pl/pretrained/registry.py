"""Registries: YAML files that say which models there are, what they are and where to get them.

A registry is read with a safe loader and checked before anything in it is used; names in it can
become those of files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.checks.kinds import checked, mapping, number, sequence, text, whole, words
from auralflow_pl.checks.strict_yaml import load
from auralflow_pl.errors import InputError, did_you_mean, plainly
from auralflow_pl.pretrained.locations import PACKAGED, VARIABLE
from auralflow_pl.system.folders import config_folder

FORMAT = 1

PREFIX = "pretrained:"  # of a `ckpt` that is a name in a registry

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

DIGEST = re.compile(r"[0-9a-f]{64}")

SCHEMES = ("https", "http", "hf", "file")

LARGEST_MODEL = 2**32


class Value(NamedTuple):
    """A metric of one target on one data set."""

    target: str
    data: str
    average: str  # what it is: "mean over tracks"
    value: float
    mixture: float | None  # the same of the unprocessed mixture
    tracks: int


class Metric(NamedTuple):
    """What was measured, and what that means."""

    name: str
    definition: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Entry:
    """A model of a registry."""

    name: str
    targets: tuple[str, ...]
    architecture: str
    data: str  # what it learned from
    licence: str
    size: int  # bytes of the archive, or of the weights in a folder
    sha256: str  # of the same file
    sources: tuple[str, ...]  # addresses and absolute paths, in the order in which they are tried
    metrics: tuple[Metric, ...]
    description: str
    registry: Path  # the file that it comes from


def read_registries(given: str | Sequence[str] = ()) -> dict[str, Entry]:
    """Entries by name; where two registries have a name, the first one counts.

    The order is: those given, those in the environment, those of the user, that of the package.

    Args:
        given: files, or folders with `.yaml` files; one or several.

    Raises:
        InputError: one cannot be read, and which entry of it is wrong.
    """
    named = [("registries", path) for path in ([given] if isinstance(given, str) else given)]
    environment = os.environ.get(VARIABLE, "").split(os.pathsep)
    named += [(VARIABLE, path) for path in environment if path]
    files = [file for key, path in named for file in registry_files(Path(path), key)]
    own = config_folder() / "registry"
    files += [*sorted(own.glob("*.yaml")), PACKAGED]
    entries: dict[str, Entry] = {}
    for file in dict.fromkeys(files):
        for entry in read_registry(file):
            entries.setdefault(entry.name, entry)
    return entries


def registry_files(path: Path, key: str) -> list[Path]:
    """The registries that a path means: itself, or those of a folder."""
    path = Path(os.path.expanduser(path))  # noqa: PTH111 - it never raises
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise InputError(f"{key}={path}: no registry; expected a .yaml file, or a folder of them")
    return files


def read_registry(path: Path) -> list[Entry]:
    """All entries of a file.

    Raises:
        InputError: it is no registry, or which entry is wrong.
    """
    node = load(path)
    top = checked(node, {"format": whole, "models": mapping}, f"{path}: ")
    if top["format"] != FORMAT:
        raise InputError(
            f"{path}: format={plainly(top['format'])}; this version reads format {FORMAT}"
        )
    return [read_entry(name, entry, path) for name, entry in top["models"].items()]


def read_entry(name: Any, node: Any, path: Path) -> Entry:
    """One entry; relative paths among its sources become absolute."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise InputError(
            f"{path}: {plainly(name)}: not a name; use up to 64 letters, digits, - and _"
        )
    values = checked(node, FIELDS, f"{path}: {name}.", ("metrics", "description"))
    base = path.absolute().parent
    values["sources"] = tuple(
        source if "://" in source else str(base / os.path.expanduser(source))  # noqa: PTH111 - it never raises
        for source in values["sources"]
    )
    where = f"{path}: {name}.metrics."
    metrics = tuple(read_metric(metric, where) for metric in values.pop("metrics", ()))
    description = values.pop("description", "")
    return Entry(name, **values, metrics=metrics, description=description, registry=path)


def read_metric(node: Any, where: str) -> Metric:
    """One metric with its values."""
    metric = checked(node, {"name": text, "definition": text, "values": sequence}, where)
    fields = {"target": text, "data": text, "average": text, "value": number}
    fields |= {"mixture": number, "tracks": whole}
    values = [checked(value, fields, where, ("mixture",)) for value in metric["values"]]
    rows = tuple(Value(**{"mixture": None, **value}) for value in values)
    return Metric(metric["name"], metric["definition"], rows)


def length(value: Any) -> int:
    """A number of bytes."""
    if type(value) is not int or not 1 <= value <= LARGEST_MODEL:
        raise ValueError(f"bytes, from 1 to {LARGEST_MODEL}")
    return value


def digest(value: Any) -> str:
    """A SHA-256."""
    if not isinstance(value, str) or not DIGEST.fullmatch(value.lower()):
        raise ValueError("64 hexadecimal digits")
    return value.lower()


def places(value: Any) -> tuple[str, ...]:
    """Some addresses or paths, none with a password, which would be shown and passed on."""
    found = words(value)
    for source in found:
        scheme, mark, rest = source.partition("://")
        if mark and scheme not in SCHEMES:
            raise ValueError(f"paths, or addresses with {', '.join(SCHEMES)}")
        if mark and scheme != "hf" and "@" in rest.partition("/")[0]:
            raise ValueError("addresses without a password; put it into ~/.netrc")
    return found


FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "targets": words,
    "architecture": text,
    "data": text,
    "licence": text,
    "size": length,
    "sha256": digest,
    "sources": places,
    "metrics": sequence,
    "description": text,
}


def find(entries: Mapping[str, Entry], name: str, target: str | Sequence[str] | None) -> Entry:
    """The entry with a name, or the only one of an architecture and targets.

    Raises:
        InputError: none, or several.
    """
    name = name.removeprefix(PREFIX)
    asked = None if target is None else {target} if isinstance(target, str) else set(target)
    found = [entries[name]] if name in entries else of_architecture(entries, name)
    if not found:
        hint = did_you_mean(name, known(entries))
        raise InputError(
            f"{plainly(name)}: no such model in {places_of(entries)}; more registries can be named "
            f"with registries=... or {VARIABLE}; {hint}"
        )
    fitting = [entry for entry in found if asked is None or asked <= set(entry.targets)]
    exact = [entry for entry in fitting if asked == set(entry.targets)]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    listed = ", ".join(f"{entry.name} ({'+'.join(entry.targets)})" for entry in fitting or found)
    if not fitting:
        wanted = "+".join(sorted(asked or ()))
        raise InputError(f"target={wanted}: {name} has no such model; there are {listed}")
    raise InputError(f"{name}: several models; pass the name of one: {listed}")


def of_architecture(entries: Mapping[str, Entry], name: str) -> list[Entry]:
    """All entries of an architecture."""
    return [entry for entry in entries.values() if entry.architecture == name]


def known(entries: Mapping[str, Entry]) -> Iterator[str]:
    """What `find` takes: names, then architectures."""
    yield from entries
    yield from (entry.architecture for entry in entries.values())


def places_of(entries: Mapping[str, Entry]) -> str:
    """The registries that entries come from, for a message."""
    files: Iterable[Path] = dict.fromkeys(entry.registry for entry in entries.values())
    return ", ".join("the package" if file == PACKAGED else str(file) for file in files)
