"""Paths of stored models and of the files made from them."""

from __future__ import annotations

from pathlib import Path

from auralflow_pl.system.folders import cache_folder

PACKAGED_REGISTRY = Path(__file__).parents[1] / "bundled" / "registry.yaml"
BUNDLED_MODEL = PACKAGED_REGISTRY.parent / "vocals"  # the model that ships with the package

WEIGHTS_FILE = "model.safetensors"  # of an exported folder or archive

REGISTRY_VARIABLE = "AURALFLOW_REGISTRY"  # files and folders, separated as in PATH


def models_folder() -> Path:
    """Folder of downloaded models."""
    return cache_folder() / "models"


def output_root(ckpt: Path) -> Path:
    """Folder for files made from a checkpoint: its run folder, or else the folder it is in.

    For cached and bundled models it is the current folder.
    """
    if ckpt.parent in (models_folder(), PACKAGED_REGISTRY.parent):
        return Path()
    return ckpt.parent.parent if ckpt.parent.name == "checkpoints" else ckpt.parent


def model_label(ckpt: Path) -> str:
    """Base name of folders and files made from a checkpoint or an exported model."""
    return ckpt.name if ckpt.is_dir() else ckpt.stem
