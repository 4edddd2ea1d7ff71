"""Where models are stored, and where files made from them go."""

from __future__ import annotations

from pathlib import Path

from auralflow_pl.system.folders import cache_folder

PACKAGED_REGISTRY = Path(__file__).parents[1] / "bundled" / "registry.yaml"
BUNDLED_MODEL = PACKAGED_REGISTRY.parent / "vocals"  # the model that ships with the package

WEIGHTS_FILE = "model.safetensors"  # of an exported folder or archive

REGISTRY_VARIABLE = "AURALFLOW_REGISTRY"  # files and folders, separated as in PATH


def models_folder() -> Path:
    """Where models are kept that were fetched."""
    return cache_folder() / "models"


def output_root(ckpt: Path) -> Path:
    """The folder for what is made from a checkpoint: its run, or the one where it lies.

    For models of the cache and of the package it is the folder where the command runs.
    """
    if ckpt.parent in (models_folder(), PACKAGED_REGISTRY.parent):
        return Path()
    return ckpt.parent.parent if ckpt.parent.name == "checkpoints" else ckpt.parent


def model_label(ckpt: Path) -> str:
    """How folders and files are called that are made from a checkpoint or an exported model."""
    return ckpt.name if ckpt.is_dir() else ckpt.stem
