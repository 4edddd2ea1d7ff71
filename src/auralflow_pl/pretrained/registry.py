"""Registries of pretrained models: YAML files with a description and the sources of each model."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.checks.kinds import (
    check_mapping,
    expect_mapping,
    expect_number,
    expect_sequence,
    expect_text,
    expect_whole,
    expect_words,
)
from auralflow_pl.checks.strict_yaml import load_yaml
from auralflow_pl.errors import InputError, did_you_mean, shown
from auralflow_pl.pretrained.locations import PACKAGED_REGISTRY, REGISTRY_VARIABLE
from auralflow_pl.system.folders import config_folder

REGISTRY_FORMAT = 1

NAME_PREFIX = "pretrained:"  # marks a `ckpt` that is a registry name

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # safe as a file name

DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")

SOURCE_SCHEMES = ("https", "http", "hf", "file")

MAX_FILE_BYTES = 2**32


class ReportedValue(NamedTuple):
    """Value of a metric for one target on one data set."""

    target: str
    data: str
    average: str  # kind of average: "mean over tracks"
    value: float
    mixture: float | None  # value for the unprocessed mixture
    tracks: int


class ReportedMetric(NamedTuple):
    """A metric with its definition and its values."""

    name: str
    definition: str
    values: tuple[ReportedValue, ...]


@dataclass(frozen=True)
class RegistryEntry:
    """Description and sources of one model in a registry."""

    name: str
    targets: tuple[str, ...]
    architecture: str
    data: str  # training data
    licence: str
    size: int  # bytes of the archive, or of the weights file of a folder
    sha256: str  # digest of the same file
    sources: tuple[str, ...]  # addresses and absolute paths, in order of preference
    metrics: tuple[ReportedMetric, ...]
    description: str
    registry: Path  # the file with this entry


def read_registries(given: str | Sequence[str] = ()) -> dict[str, RegistryEntry]:
    """Entries of all registries by name; if several registries have a name, the first one wins.

    The order is: `given`, the environment variable `AURALFLOW_REGISTRY`, the user's configuration
    folder, the package.

    Args:
        given: one or several files, or folders with `.yaml` files.

    Raises:
        InputError: a registry cannot be read or has an invalid entry, which the message names.
    """
    named = [("registries", path) for path in ([given] if isinstance(given, str) else given)]
    environment = os.environ.get(REGISTRY_VARIABLE, "").split(os.pathsep)
    named += [(REGISTRY_VARIABLE, path) for path in environment if path]
    files = [file for key, path in named for file in registry_files(Path(path), key)]
    if own := config_folder():
        files += sorted((own / "registry").glob("*.yaml"))
    files.append(PACKAGED_REGISTRY)
    entries: dict[str, RegistryEntry] = {}
    for file in dict.fromkeys(files):
        for entry in read_registry(file):
            entries.setdefault(entry.name, entry)
    return entries


def registry_files(path: Path, key: str) -> list[Path]:
    """Registry files for a path: the file itself, or all `.yaml` files of a folder.

    Raises:
        InputError: there are none; `key` names the setting in the message.
    """
    path = Path(os.path.expanduser(path))  # noqa: PTH111 - never raises
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise InputError(f"{key}={path}: no registry; expected a .yaml file, or a folder of them")
    return files


def read_registry(path: Path) -> list[RegistryEntry]:
    """Read a registry file with a safe YAML loader and check its entries.

    Raises:
        InputError: the file is not a registry or has an invalid entry, which the message names.
    """
    node = load_yaml(path)
    top = check_mapping(node, {"format": expect_whole, "models": expect_mapping}, f"{path}: ")
    if top["format"] != REGISTRY_FORMAT:
        raise InputError(
            f"{path}: format={shown(top['format'])}; this version reads format {REGISTRY_FORMAT}"
        )
    return [read_entry(name, entry, path) for name, entry in top["models"].items()]


def read_entry(name: Any, node: Any, path: Path) -> RegistryEntry:
    """Check and build one entry; relative paths among its sources become absolute."""
    if not (isinstance(name, str) and NAME_PATTERN.fullmatch(name)):
        raise InputError(
            f"{path}: {shown(name)}: not a name; use up to 64 letters, digits, - and _"
        )
    values = check_mapping(node, ENTRY_FIELDS, f"{path}: {name}.", ("metrics", "description"))
    base = path.absolute().parent
    values["sources"] = tuple(
        source if "://" in source else str(base / os.path.expanduser(source))  # noqa: PTH111 - never raises
        for source in values["sources"]
    )
    where = f"{path}: {name}.metrics."
    metrics = tuple(read_metric(metric, where) for metric in values.pop("metrics", ()))
    description = values.pop("description", "")
    return RegistryEntry(name, **values, metrics=metrics, description=description, registry=path)


def read_metric(node: Any, where: str) -> ReportedMetric:
    """Check and build one metric; `where` precedes the keys in messages."""
    metric = check_mapping(
        node, {"name": expect_text, "definition": expect_text, "values": expect_sequence}, where
    )
    fields = {
        "target": expect_text,
        "data": expect_text,
        "average": expect_text,
        "value": expect_number,
    }
    fields |= {"mixture": expect_number, "tracks": expect_whole}
    values = [check_mapping(value, fields, where, ("mixture",)) for value in metric["values"]]
    rows = tuple(ReportedValue(**{"mixture": None, **value}) for value in values)
    return ReportedMetric(metric["name"], metric["definition"], rows)


def expect_length(value: Any) -> int:
    """Check a file size in bytes."""
    if type(value) is not int or not 1 <= value <= MAX_FILE_BYTES:
        raise ValueError(f"bytes, from 1 to {MAX_FILE_BYTES}")
    return value


def expect_digest(value: Any) -> str:
    """Check a SHA-256 digest and convert it to lower case."""
    if not isinstance(value, str) or not DIGEST_PATTERN.fullmatch(value.lower()):
        raise ValueError("64 hexadecimal digits")
    return value.lower()


def expect_sources(value: Any) -> tuple[str, ...]:
    """Check a list of addresses or paths.

    Addresses with a password are rejected, since sources are shown in messages and published.
    """
    found = expect_words(value)
    for source in found:
        scheme, mark, rest = source.partition("://")
        if mark and scheme not in SOURCE_SCHEMES:
            raise ValueError(f"paths, or addresses with {', '.join(SOURCE_SCHEMES)}")
        if mark and scheme != "hf" and "@" in rest.partition("/")[0]:
            raise ValueError("addresses without a password; put it into ~/.netrc")
    return found


ENTRY_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "targets": expect_words,
    "architecture": expect_text,
    "data": expect_text,
    "licence": expect_text,
    "size": expect_length,
    "sha256": expect_digest,
    "sources": expect_sources,
    "metrics": expect_sequence,
    "description": expect_text,
}


def find_entry(
    entries: Mapping[str, RegistryEntry], name: str, target: str | Sequence[str] | None
) -> RegistryEntry:
    """The entry with a given name, or the only entry of an architecture with the given targets.

    Raises:
        InputError: no entry fits, or several do.
    """
    name = name.removeprefix(NAME_PREFIX)
    asked = None if target is None else {target} if isinstance(target, str) else set(target)
    found = [entries[name]] if name in entries else entries_of_architecture(entries, name)
    if not found:
        hint = did_you_mean(name, known_names(entries))
        raise InputError(
            f"{shown(name)}: no such model in {registries_of(entries)}; more registries can be "
            f"named with registries=... or {REGISTRY_VARIABLE}; {hint}"
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


def entries_of_architecture(entries: Mapping[str, RegistryEntry], name: str) -> list[RegistryEntry]:
    """All entries with a given architecture."""
    return [entry for entry in entries.values() if entry.architecture == name]


def known_names(entries: Mapping[str, RegistryEntry]) -> Iterator[str]:
    """Names that `find_entry` accepts: model names, then architectures."""
    yield from entries
    yield from (entry.architecture for entry in entries.values())


def registries_of(entries: Mapping[str, RegistryEntry]) -> str:
    """Comma-separated registries of the entries, for a message."""
    files: Iterable[Path] = dict.fromkeys(entry.registry for entry in entries.values())
    return ", ".join("the package" if file == PACKAGED_REGISTRY else str(file) for file in files)
