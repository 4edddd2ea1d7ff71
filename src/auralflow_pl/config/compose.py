"""Compose the configuration of a command in Python, as the command line would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.config.explain import explain
from auralflow_pl.config.schema import COMMAND_SCHEMAS
from auralflow_pl.config.search_path import add_config_dirs, initialized_hydra, search_folders
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, did_you_mean


def compose(
    command: str = "train",
    overrides: Sequence[str] = (),
    config_dirs: Sequence[str | Path] = (),
) -> DictConfig:
    """Compose, validate and resolve the configuration of a command.

    What Hydra was initialised with before, in a notebook for example, it still is afterwards.

    Args:
        command: `train`, `evaluate`, `separate`, ...: the name of a file in `configs/`.
        overrides: as on the command line: `["model=vae", "trainer.max_epochs=5"]`. Values
            with `=`, commas or spaces are quoted: `"input='a, b.wav'"`.
        config_dirs: folders with `<group>/<name>.yaml` files of your own.

    Returns:
        The configuration: a `DictConfig` with all keys of the command, without interpolations.

    Raises:
        InputError: no such command, folder, key or option, a missing key, or a value of another
            type or out of its range; the message is one line.
    """
    if command not in COMMAND_SCHEMAS:
        raise InputError(f"{command}: no such command, {did_you_mean(command, COMMAND_SCHEMAS)}")
    if isinstance(overrides, str):
        raise InputError(f"overrides={overrides}: expected a list, [{overrides!r}]")
    if isinstance(config_dirs, str | Path):
        raise InputError(f"config_dirs={config_dirs}: expected a list, ['{config_dirs}']")
    searched = add_config_dirs(overrides, config_dirs)
    try:
        search_folders(searched)
        with initialized_hydra():
            config = hydra.compose(command, searched)
        return validate(config, COMMAND_SCHEMAS[command])
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain(error, command, searched)) from error
