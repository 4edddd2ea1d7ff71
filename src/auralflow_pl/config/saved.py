"""Configurations in files of the user: save one, to use it again, and read one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.checks.strict_yaml import load_yaml
from auralflow_pl.config.schema import COMMAND_SCHEMAS
from auralflow_pl.config.search_path import initialized_hydra, is_search_key
from auralflow_pl.config.validation import missing_keys, validate
from auralflow_pl.errors import InputError, os_reason, printable
from auralflow_pl.system.files import write_text

RUN_CONFIG = "config.yaml"  # of a run folder


def save_composed(command: str, overrides: Sequence[str], path: Path) -> str:
    """Save the composed configuration of a command, with its references to keys.

    Args:
        command: name of the command.
        overrides: `key=value` and `group=option`.
        path: a new file, whose name ends in `.yaml`.

    Returns:
        the command line that uses the file.

    Raises:
        InputError: the file exists, cannot be written or would not be found again, a value is of
            another type or out of its range, or an override is of Hydra.
    """
    check_new(path)
    for override in overrides:
        if override.lstrip("+~").startswith("hydra") and not is_search_key(override):
            raise InputError(
                f"--save {path}: {override} is no key of the configuration; pass it with the "
                "command that uses the file"
            )
    with initialized_hydra():
        composed = hydra.compose(command, list(overrides), return_hydra_config=True)
    content: Any = OmegaConf.to_container(composed)
    choices = content.pop("hydra")["runtime"]["choices"]
    sweep = [{"sweep": choices["sweep"]}] if "sweep" in choices else []
    if not any(missing_keys(content)) and choices.get("sweep") in (None, "grid"):
        validate(DictConfig(content), COMMAND_SCHEMAS[command])
    defaults = [
        {"hydra": choices["hydra"]},
        "_self_",
        *sweep,
        {"override hydra/job_logging": choices["hydra/job_logging"]},
    ]
    folder = shlex.quote(str(path.parent))
    usage = f"auralflow {command} --config-dir {folder} --config-name {shlex.quote(path.stem)}"
    text = OmegaConf.to_yaml(OmegaConf.create({"defaults": defaults, **content}))
    made = printable(shlex.join(["auralflow", "config", command, *overrides]))
    try:
        write_text(path, f"# Saved by: {made}\n{text}")
    except OSError as error:
        raise InputError(f"--save {path}: cannot be written: {os_reason(error)}") from error
    return usage


def check_new(path: Path) -> None:
    """Raise InputError unless a path is free, and a name that `--config-name` finds."""
    if path.suffix != ".yaml" or not path.stem:
        raise InputError(f"--save {path}: expected a file that ends in .yaml")
    if path.stem in COMMAND_SCHEMAS:
        raise InputError(
            f"--save {path}: {path.stem} is the name of a command's own configuration; choose "
            "another name"
        )
    if path.exists() or path.is_symlink():
        raise InputError(f"--save {path}: is there already; choose another name, or remove it")


def is_config_path(word: str) -> bool:
    """Whether a word of the command line is a path, neither a key nor a group."""
    return "=" not in word and (len(Path(word).parts) > 1 or Path(word).suffix == ".yaml")


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration: a file that `save_composed` wrote, or that of a run folder.

    Raises:
        InputError: there is no such file, or it holds no keys.
    """
    file = path / RUN_CONFIG if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; expected a saved configuration, or a run folder with "
            f"{RUN_CONFIG}"
        )
    content = load_yaml(file)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{file}: no configuration; expected keys with values")
    content.pop("defaults", None)
    return content
