"""Folders of the user for caches and configuration."""

from __future__ import annotations

import os
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
