"""Paths of stored models and of the files made from them."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from auralflow_pl.system.folders import cache_folder

PACKAGED_REGISTRY = Path(__file__).parents[1] / "bundled" / "registry.yaml"
BUNDLED_MODEL = PACKAGED_REGISTRY.parent / "spleeter-vocals"  # the better one of the package
SMALL_MODEL = PACKAGED_REGISTRY.parent / "vocals"  # trained from nothing on songs of ours

WEIGHTS_FILE = "model.safetensors"  # of an exported folder or archive

REGISTRY_ENTRY_POINTS = "auralflow_pl.registries"  # packages with models name their module in it

REGISTRY_VARIABLE = "AURALFLOW_REGISTRY"  # files and folders, separated as in PATH


def models_folder() -> Path:
    """Folder of downloaded models."""
    return cache_folder() / "models"


def installed_registries() -> list[Path]:
    """`registry.yaml` of every installed package with models, in the order of their names."""
    found = []
    for point in sorted(entry_points(group=REGISTRY_ENTRY_POINTS), key=lambda point: point.value):
        module = None if "." in point.value else find_spec(point.value)
        if module is not None and module.origin is not None:
            found.append(Path(module.origin).parent / "registry.yaml")
    return list(dict.fromkeys(found))


def output_root(ckpt: Path) -> Path:
    """Folder for files made from a checkpoint: its run folder, or else the folder it is in.

    For cached, bundled and installed models it is the current folder.
    """
    packages = (registry.parent for registry in (PACKAGED_REGISTRY, *installed_registries()))
    if ckpt.parent in (models_folder(), *packages):
        return Path()
    return ckpt.parent.parent if ckpt.parent.name == "checkpoints" else ckpt.parent


def model_label(ckpt: Path) -> str:
    """Base name of folders and files made from a checkpoint or an exported model."""
    return ckpt.name if ckpt.is_dir() else ckpt.stem
