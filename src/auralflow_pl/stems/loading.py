"""Load the models given by the key `ckpt`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from auralflow_pl.checkpoints.foreign.open_unmix import open_unmix_files
from auralflow_pl.checkpoints.foreign.spleeter import is_spleeter
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.errors import InputError
from auralflow_pl.pretrained.cache import best_present, fetch_model, resolve_ckpt
from auralflow_pl.pretrained.entries import RegistryEntry
from auralflow_pl.pretrained.registry import NAME_PREFIX
from auralflow_pl.separator.engine import choose_engine, engine_name
from auralflow_pl.separator.load import load_separator
from auralflow_pl.separator.precision import autocast_dtype
from auralflow_pl.separator.separator import Separator
from auralflow_pl.system.files import check_file, file_sha256, text_sha256
from auralflow_pl.system.folders import visible

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model with its origin and settings."""

    path: str
    sha256: str
    separator: Separator
    settings: Mapping[str, Any]  # settings of the Separator that change the result


def model_digest(path: Path) -> str:
    """SHA-256 of a checkpoint file, or of names and digests of the visible files of a folder."""
    if not path.is_dir():
        check_file(path)
        return file_sha256(path)
    parts = [f"{p.name} {file_sha256(p)}" for p in visible(path) if p.is_file()]
    return text_sha256("\n".join(parts))


MODEL_SUFFIXES = (".ckpt", ".onnx", ".zip", ".pth")


def load_models(config: DictConfig, device: torch.device) -> list[LoadedModel]:
    """Load the models of the key `ckpt`: one, several, or all models of a folder.

    Raises:
        InputError: a model cannot be found or loaded, or `engine` does not support it.
    """
    settings = to_plain(config.separation)
    precision = config.precision.precision
    dtype = autocast_dtype(precision)
    known = {key: value for key, value in settings.items() if key != "batch_size"}
    for key in ("padding_seconds", "wiener_steps", "wiener_residual"):
        if not known[key]:  # so stems made before there was this key are known again
            del known[key]
    models = []
    for path in checkpoint_paths(config):
        engine = choose_engine(config.engine, device, path)
        separator = load_separator(
            path,
            list(config.trust),
            engine=engine,
            precision=dtype,
            **settings,
        )
        digest = model_digest(path)
        described = {**known, "precision": precision, "engine": engine_name(separator.network)}
        models.append(LoadedModel(str(path), digest, separator.to(device), described))
    return models


def checkpoint_paths(config: DictConfig) -> list[Path]:
    """Files and exported folders for the key `ckpt`; the best model present if it is None.

    Raises:
        InputError: a folder has no checkpoints, or a pretrained model cannot be fetched.
    """
    ckpt, registries = (to_plain(config)[key] for key in ("ckpt", "registries"))
    if ckpt is None:
        entry = best_present(registries)
        log.info("no ckpt is given: %s", described_choice(entry))
        return [fetch_model(entry)]
    found = []
    for one in [ckpt] if isinstance(ckpt, str) else ckpt:
        path = resolve_ckpt(one, registries)
        if not path.is_dir() or is_model_path(path):
            found.append(path)
            continue
        files = [p for p in visible(path) if p.suffix in MODEL_SUFFIXES or is_model_path(p)]
        if not files:
            raise InputError(f"ckpt={path}: no checkpoints in this folder")
        found += files
    if not found:
        raise InputError("ckpt: an empty list; expected checkpoints")
    return found


def described_choice(entry: RegistryEntry) -> str:
    """Name of a model, its licence, and why it is the best one at hand."""
    name = f"{NAME_PREFIX}{entry.name}"
    return f"{name} is the best model on this machine: {entry.description} Licence: {entry.licence}"


def is_model_path(path: Path) -> bool:
    """Return True if a folder is one model: an exported one, or one of another project."""
    exported = (path / "config.json").is_file()
    return exported or is_spleeter(path) or bool(open_unmix_files(path))
