"""Folders of the user for caches and configuration, and walks through folders."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from auralflow_pl.errors import InputError

APPLICATION_NAME = "auralflow_pl"


def cache_folder() -> Path:
    """`AURALFLOW_CACHE` if set, else `auralflow_pl` in the user's cache folder.

    Raises:
        InputError: neither is there, since the user has no home folder.
    """
    given = os.environ.get("AURALFLOW_CACHE")
    if given and (path := Path(os.path.expanduser(given))).parts[0] != "~":  # noqa: PTH111 - never raises
        return path
    if base := user_folder("XDG_CACHE_HOME", ".cache"):
        return base / APPLICATION_NAME
    raise InputError(
        "no folder for downloads and graphs: this user has no home folder; set AURALFLOW_CACHE to "
        "a folder"
    )


def config_folder() -> Path | None:
    """`auralflow_pl` in the user's folder for configuration files; None without a home folder."""
    base = user_folder("XDG_CONFIG_HOME", ".config")
    return base and base / APPLICATION_NAME


def user_folder(variable: str, name: str) -> Path | None:
    """The folder that an environment variable names, else one of the user's home folder, if any."""
    if given := os.environ.get(variable):
        return Path(given)
    try:
        return Path.home() / name
    except RuntimeError:  # HOME is not set, and the system does not know the user
        return None


def visible(folder: Path) -> list[Path]:
    """Entries of a folder without hidden ones, sorted by name; none if it cannot be read."""
    with contextlib.suppress(OSError):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return []


def folders_below(top: Path) -> Iterator[Path]:
    """A folder and all folders below it, except hidden ones; links are followed.

    Each real folder comes once, under its shortest path, and links come after folders.
    """
    seen, level = set(), [top]
    while level:
        below: list[Path] = []
        for folder in sorted(level, key=lambda path: (path.is_symlink(), path)):
            real = os.path.realpath(folder)
            if real not in seen:
                seen.add(real)
                yield folder
                below += [path for path in visible(folder) if path.is_dir()]
        level = below
