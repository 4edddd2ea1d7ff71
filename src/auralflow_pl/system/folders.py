"""Folders of the user for caches and configuration, and walks through folders."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

APPLICATION_NAME = "auralflow_pl"


def cache_folder() -> Path:
    """`AURALFLOW_CACHE` if set, else `auralflow_pl` in the user's cache folder."""
    given = os.environ.get("AURALFLOW_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(given).expanduser() if given else Path(base) / APPLICATION_NAME


def config_folder() -> Path:
    """`auralflow_pl` in the user's folder for configuration files."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / APPLICATION_NAME


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
