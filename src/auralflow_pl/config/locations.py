"""Where the YAML files of the configuration are."""

from __future__ import annotations

from pathlib import Path


def config_dir() -> Path:
    """The folder of the YAML groups: in the installed package, or at the top of the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"
