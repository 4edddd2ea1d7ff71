"""Where Hydra looks for YAML files: our own folder, those of installed packages and of the user.

A package adds its folder for good with an entry point of the group `auralflow_pl.configs`:

    [project.entry-points."auralflow_pl.configs"]
    mypkg = "mypkg.configs"

A user adds one for a single command with `--config-dir <folder>` or
`hydra.searchpath=[pkg://mypkg.configs]`. Functions here take both as overrides of Hydra's grammar,
see `split_config_dirs`. Of two files with the same name, ours comes first.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from hydra import initialize_config_dir, version
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from auralflow_pl.config.locations import config_dir
from auralflow_pl.errors import InputError

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "auralflow_pl.configs"

SEARCH_KEY = "hydra.searchpath"

DIR_FLAGS = ("--config-dir", "-cd")

NAME_FLAGS = ("--config-name", "-cn")


class InstalledConfigs(SearchPathPlugin):
    """Adds the folders of installed packages to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append them; of two files with the same name, that of this project comes first."""
        for name, folder in installed_folders().items():
            search_path.append(name, f"file://{folder}")


@cache
def register_plugin() -> None:
    """Let Hydra find the configurations of installed packages; once in a process."""
    Plugins.instance().register(InstalledConfigs)


@cache
def installed_folders() -> dict[str, Path]:
    """Folders of the entry points, by their names; one that is not there is left out and logged."""
    folders = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP)):
        folder = package_folder(entry.value)
        if folder is None:
            owner = entry.dist.name if entry.dist else "a package"
            log.warning(
                "%s: its entry point %s=%s of the group %s is no folder; its configurations are "
                "left out",
                *(owner, entry.name, entry.value, ENTRY_POINT_GROUP),
            )
        else:
            folders[entry.name] = folder
    return folders


def package_folder(name: str) -> Path | None:
    """The folder of a dotted package name, without importing it; None if there is none."""
    package, *rest = name.split(".")
    spec = find_spec(package) if package else None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place).joinpath(*rest)
        if folder.is_dir():
            return folder
    return None


def split_config_dirs(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the folders of `--config-dir` off a command line.

    Raises:
        InputError: the flag stands last, without a folder.
    """
    return split_flag(arguments, DIR_FLAGS, "a folder of configurations")


def split_flag(
    arguments: Sequence[str], flags: Sequence[str], expected: str
) -> tuple[list[str], list[str]]:
    """Split the values of a flag (`--flag value` or `--flag=value`) off a command line.

    Args:
        arguments: the command line.
        flags: the flag and its other spellings.
        expected: what the value is, for the message.

    Raises:
        InputError: the flag has no value.
    """
    rest: list[str] = []
    values: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in flags:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value:
            raise InputError(f"{flag}: expected {expected}")
        values.append(value)
    return rest, values


def add_config_dirs(overrides: Iterable[str], config_dirs: Sequence[str | Path]) -> list[str]:
    """Overrides in which `hydra.searchpath` also has these folders.

    Raises:
        InputError: one is not there, or `hydra.searchpath` is no list.
    """
    overrides = list(overrides)
    for folder in map(Path, config_dirs):
        if not folder.is_dir():
            raise InputError(
                f"--config-dir {folder}: no such folder; expected one with <group>/<name>.yaml"
            )
    if not config_dirs:
        return overrides
    places = [f"file://{Path(folder).absolute()}" for folder in config_dirs]
    places += [place for place in search_entries(overrides) if place not in places]
    return [*filter(lambda word: not is_search_key(word), overrides), search_override(places)]


def search_override(places: Iterable[str]) -> str:
    """`hydra.searchpath=[...]` in Hydra's grammar, whatever characters the places have."""
    quoted = ("'" + place.replace("\\", "\\\\").replace("'", "\\'") + "'" for place in places)
    return f"{SEARCH_KEY}=[{','.join(quoted)}]"


def is_search_key(override: str) -> bool:
    """Whether an override sets `hydra.searchpath`."""
    return override.lstrip("+").startswith(f"{SEARCH_KEY}=")


def search_entries(overrides: Iterable[str]) -> list[str]:
    """The entries of `hydra.searchpath` among overrides.

    Raises:
        InputError: no list of strings.
    """
    found: list[str] = []
    for override in filter(is_search_key, overrides):
        value = OverridesParser.create().parse_override(override).value()
        if not isinstance(value, list):
            raise InputError(f"{override}: expected a list, {SEARCH_KEY}=[pkg://mypkg.configs]")
        found += [str(entry) for entry in value]
    return found


def search_folders(overrides: Iterable[str] = ()) -> list[Path]:
    """All folders in which Hydra finds YAML files, those first that have precedence.

    Raises:
        InputError: an entry of `hydra.searchpath` that is not there.
    """
    folders = [config_dir(), *installed_folders().values()]
    for entry in search_entries(overrides):
        scheme, separator, place = entry.rpartition("://")
        folder = package_folder(place) if scheme == "pkg" else Path(place)
        if (separator and scheme not in ("pkg", "file")) or folder is None or not folder.is_dir():
            raise InputError(
                f"{SEARCH_KEY}: {entry} is not there; expected a folder, or pkg://<package> that "
                "is installed (pip install -e) or in PYTHONPATH"
            )
        folders.append(folder)
    return folders


def is_group(name: str, overrides: Iterable[str] = ()) -> bool:
    """Whether any folder has a group of that name."""
    return any((folder / name).is_dir() for folder in search_folders(overrides))


@cache
def command_groups(command: str) -> list[str]:
    """Groups of the defaults list of a command, and those of a command that it is based on."""
    content = OmegaConf.load(config_dir() / f"{command}.yaml")
    groups: list[str] = []
    for entry in OmegaConf.select(content, "defaults") or ():
        if OmegaConf.is_dict(entry):  # a single key; that of an override has a space
            groups += [name for name in entry if " " not in name]
        elif entry != "_self_":
            groups += command_groups(entry)
    return groups


def command_of(groups: Iterable[str], commands: Iterable[str], default: str) -> str:
    """The first of several commands with a group that `default` does not have; else `default`."""
    other = {*groups} - {*command_groups(default)}
    return next((c for c in commands if other & {*command_groups(c)}), default)


def group_files(group: str, overrides: Iterable[str] = ()) -> dict[str, Path]:
    """The YAML files of a group by the names of its options, sorted."""
    found: dict[str, Path] = {}
    for folder in search_folders(overrides):
        for path in (folder / group).glob("[!_]*.yaml"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def group_options(group: str, overrides: Iterable[str] = ()) -> list[str]:
    """The names that `group=` takes, sorted."""
    return list(group_files(group, overrides))


def command_sources() -> list[str]:
    """What the command line of this process added to the search path, as overrides."""
    if not HydraConfig.initialized():
        return []
    places = [
        f"{source.schema}://{source.path}"
        for source in HydraConfig.get().runtime.config_sources
        if source.provider in ("command-line", f"{SEARCH_KEY} in command-line")
    ]
    return [search_override(places)] if places else []


@contextlib.contextmanager
def initialized_hydra() -> Iterator[None]:
    """Hydra with our search path for `hydra.compose`; afterwards it is as it was before."""
    register_plugin()
    hydra, base = GlobalHydra.instance().hydra, version.VersionBase.instance()
    former = dict(vars(base))
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            yield
    finally:
        vars(base).update(former)
        GlobalHydra.instance().hydra = hydra
