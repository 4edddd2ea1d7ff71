"""Location of the YAML files of the configuration."""

from __future__ import annotations

from pathlib import Path


def config_dir() -> Path:
    """Folder of the YAML files: `configs` in the installed package, or in the repository root."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parents[1] / "configs"
