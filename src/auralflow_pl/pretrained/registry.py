"""Registries of pretrained models: YAML files with a description and the sources of each model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from auralflow_pl.checks.kinds import check_mapping, expect_mapping, expect_whole
from auralflow_pl.checks.strict_yaml import load_yaml
from auralflow_pl.errors import InputError, did_you_mean, shown
from auralflow_pl.pretrained.entries import RegistryEntry, read_entry
from auralflow_pl.pretrained.locations import (
    PACKAGED_REGISTRY,
    REGISTRY_VARIABLE,
    installed_registries,
)
from auralflow_pl.system.folders import config_folder

REGISTRY_FORMAT = 1

NAME_PREFIX = "pretrained:"  # marks a `ckpt` that is a registry name


def read_registries(given: str | Sequence[str] = ()) -> dict[str, RegistryEntry]:
    """Entries of all registries by name; if several registries have a name, the first one wins.

    The order is: `given`, the environment variable `AURALFLOW_REGISTRY`, the user's configuration
    folder, installed packages with models, this package.

    Args:
        given: one or several files, or folders with `.yaml` files.

    Raises:
        InputError: a registry cannot be read or has an invalid entry, which the message names.
    """
    named = [("registries", path) for path in ([given] if isinstance(given, str) else given)]
    environment = os.environ.get(REGISTRY_VARIABLE, "").split(os.pathsep)
    named += [(REGISTRY_VARIABLE, path) for path in environment if path]
    files = [file for key, path in named for file in registry_files(Path(path), key)]
    if config_folder():
        files += sorted(user_registry().glob("*.yaml"))
    files += [*installed_registries(), PACKAGED_REGISTRY]
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


def user_registry() -> Path:
    """Folder of the user's registries.

    Raises:
        InputError: the user has no home folder.
    """
    if folder := config_folder():
        return folder / "registry"
    raise InputError("no folder for registries: this user has no home folder; pass output=")


def find_published(entries: Mapping[str, RegistryEntry], source: str) -> RegistryEntry:
    """The entry of a given name, or the one whose files an installed package carries.

    Raises:
        InputError: there is none.
    """
    for entry in entries.values():
        places = [place for file in entry.files for place in file.sources]
        if any(place.startswith(f"package://{source}/") for place in places):
            return entry
    try:
        return find_entry(entries, source, None)
    except InputError as error:
        raise InputError(f"source={source}: no such file, nor a model: {error}") from None


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
