"""Load the models given by the keys `ckpt` and `chain`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from auralflow_pl.checkpoints.foreign.open_unmix import open_unmix_files
from auralflow_pl.checkpoints.foreign.spleeter import is_spleeter
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.errors import InputError, shown
from auralflow_pl.pretrained.cache import best_present, fetch_model, resolve_ckpt
from auralflow_pl.pretrained.entries import RegistryEntry
from auralflow_pl.pretrained.registry import NAME_PREFIX
from auralflow_pl.separator.chain import Chain, Step
from auralflow_pl.separator.engines.engine import choose_engine, engine_name
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
    step: Step | None = None  # of a chain; None: it separates the mixture


def model_digest(path: Path) -> str:
    """SHA-256 of a checkpoint file, or of names and digests of the visible files of a folder."""
    if not path.is_dir():
        check_file(path)
        return file_sha256(path)
    parts = [f"{p.name} {file_sha256(p)}" for p in visible(path) if p.is_file()]
    return text_sha256("\n".join(parts))


MODEL_SUFFIXES = (".ckpt", ".onnx", ".zip", ".pth")


def load_models(config: DictConfig, device: torch.device) -> list[LoadedModel]:
    """Load the models of the key `ckpt` (one, several, or all of a folder), or those of a chain.

    Raises:
        InputError: a model cannot be found or loaded, or `engine` does not support it.
    """
    if config.get("chain") is None:
        return [load_with_settings(path, config, device) for path in checkpoint_paths(config)]
    if config.ckpt is not None:
        raise InputError(
            "ckpt: not with a chain, each step of which has its model; pass chain.<step>.ckpt=..."
        )
    steps = to_plain(config.chain)
    paths = {name: step_path(name, step["ckpt"], config) for name, step in steps.items()}
    models = {
        path: load_with_settings(path, config, device) for path in dict.fromkeys(paths.values())
    }
    return [replace(models[paths[name]], step=read_step(name, steps[name])) for name in steps]


def load_with_settings(path: Path, config: DictConfig, device: torch.device) -> LoadedModel:
    """Load a model with the settings of a configuration.

    Raises:
        InputError: it cannot be loaded, or `engine` does not support it.
    """
    settings = to_plain(config.separation)
    precision = config.precision.precision
    engine = choose_engine(config.engine, device, path)
    separator = load_separator(
        path,
        list(config.trust),
        engine=engine,
        precision=autocast_dtype(precision),
        **settings,
    )
    used = {
        "speeds": [] if separator.speeds == (1.0,) else list(separator.speeds),
        "mid_side": separator.mid_side,
    }
    known = {key: value for key, value in (settings | used).items() if key != "batch_size"}
    for key in ("padding_seconds", "wiener_steps", "wiener_residual", "speeds", "mid_side"):
        if not known[key]:  # so stems made before there was this key are known again
            del known[key]
    described = {**known, "precision": precision, "engine": engine_name(separator.network)}
    return LoadedModel(str(path), model_digest(path), separator.to(device), described)


def read_step(name: str, content: Mapping[str, Any]) -> Step:
    """A step of a chain, from its configuration.

    Raises:
        InputError: `names` is neither a mapping nor a list.
    """
    names = content["names"]
    if not isinstance(names, dict | str | None):
        raise InputError(
            f"chain.{name}.names={shown(names)}: expected a name, or names by target, "
            "{<target>:<stem>}"
        )
    return Step(name, content["input"], names, content["rest"], content["keep"])


def step_path(name: str, ckpt: Any, config: DictConfig) -> Path:
    """File or exported folder of the model of a step; the best model present for None.

    Raises:
        InputError: it cannot be found, or is a folder of several models.
    """
    registries = to_plain(config)["registries"]
    if ckpt is None:
        return chosen_model(f"chain.{name}.ckpt=null", registries)
    if not isinstance(ckpt, str):
        raise InputError(
            f"chain.{name}.ckpt={shown(ckpt)}: expected one model; give each a step, or make one "
            "of several with `auralflow combine`"
        )
    path = resolve_ckpt(ckpt, registries, f"chain.{name}.ckpt")
    if path.is_dir() and not is_model_path(path):
        raise InputError(f"chain.{name}.ckpt={path}: a folder without a model; expected one model")
    return path


def chosen_model(given: str, registries: Any) -> Path:
    """The best model present, named in the log; `given` says why it is taken."""
    entry = best_present(registries)
    log.info("%s: %s", given, described_choice(entry))
    return fetch_model(entry)


def checkpoint_paths(config: DictConfig) -> list[Path]:
    """Files and exported folders for the key `ckpt`; the best model present if it is None.

    Raises:
        InputError: a folder has no checkpoints, or a pretrained model cannot be fetched.
    """
    ckpt, registries = (to_plain(config)[key] for key in ("ckpt", "registries"))
    if ckpt is None:
        return [chosen_model("no ckpt is given", registries)]
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


def stems_of(models: Sequence[LoadedModel]) -> tuple[str, ...]:
    """Targets of models, each once."""
    return tuple(dict.fromkeys(t for model in models for t in model.separator.targets))


def chain_of(models: Sequence[LoadedModel], averaged: bool) -> Chain:
    """The chain of the steps of models; each model separates the mixture if it has no step.

    Args:
        models: the models.
        averaged: they may have the same targets, so each stem gets a name with that of its model.

    Raises:
        InputError: two models without steps have the same target, or the steps make no chain.
    """
    if averaged:
        steps = [
            Step(f"model{number}", names={t: f"{t} {number}" for t in model.separator.targets})
            for number, model in enumerate(models, 1)
        ]
        return Chain(steps, [model.separator for model in models])
    steps = [m.step or Step(f"model{number}") for number, m in enumerate(models, 1)]
    known = [target for m in models if not m.step for target in m.separator.targets]
    for name in known:
        if known.count(name) > 1:
            raise InputError(
                f"ckpt: several separate {name}; expected different targets, or average=mean"
            )
    return Chain(steps, [model.separator for model in models])
