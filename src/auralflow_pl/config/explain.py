"""Turn exceptions into one line that names the mistake and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.config.instantiate import flat_keys
from auralflow_pl.config.search_path import (
    add_config_dirs,
    group_options,
    initialized_hydra,
    is_group,
    is_search_key,
    split_config_dirs,
)
from auralflow_pl.errors import InputError, did_you_mean, os_reason
from auralflow_pl.system.extras import install_line

OPTUNA_REMEDY = "of another package too, which is in the way; pip uninstall hydra-optuna-sweeper"


def explain(error: Exception, command: str, arguments: Sequence[str] = ()) -> str:
    """One line that says what is wrong and what to do.

    Args:
        error: what a command, Hydra or OmegaConf raised.
        command: that was composed.
        arguments: of the command line, or overrides.
    """
    text = str(error).strip()
    if isinstance(error, InputError):  # from a loader process it arrives with a traceback in front
        return text.splitlines()[-1].removeprefix("auralflow_pl.errors.InputError: ")
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return f"{error.filename}: {os_reason(error)}" if error.filename else text
    if isinstance(error, OmegaConfBaseException):
        return explain_value(error)
    rest, folders = split_config_dirs(arguments)
    overrides = add_config_dirs([word for word in rest if "=" in word], folders)
    key = re.search(r"Could not override '([^']+)'", text)
    if key and command == "evaluate" and key[1].startswith("data."):
        return f"{key[1]}: needs a data set, for example data=stem_folder {key[1]}=..."
    if key and command == "evaluate" and key[1].startswith("trainer."):
        return f"{key[1]}: needs several processes, for example trainer=ddp {key[1]}=..."
    if key:
        nearest = did_you_mean(key[1], valid_keys(command, key[1], overrides))
        return f"{key[1]}: no such key, {nearest}"
    return explain_option(text, overrides)


def explain_value(error: OmegaConfBaseException) -> str:
    """One line for what OmegaConf says of a value, with its key; it adds lines about types."""
    text = str(error).strip().partition("\n")[0]
    return f"{error.full_key}: {text}" if error.full_key else text


def explain_option(text: str, overrides: Sequence[str]) -> str:
    """One line for what Hydra says of a group, a plugin or the grammar."""
    group = r"hydra/sweeper/sampler|(?!hydra)[\w-]+"
    option = re.search(rf"'({group})/([\w./-]+)'\s+Available options in '[^']+':\n(.*)", text, re.S)
    if option:
        group, name = option[1], option[2]
        listed = option[3].partition("Config search path")[0].splitlines()
        options = [name.strip() for name in listed if name.strip() and "\t_" not in name]
        return f"{group}={name}: no such option, {did_you_mean(name, options)}"
    plugin = re.search(r"'hydra/(launcher|sweeper)/(\w+)", text)
    if plugin:
        extra = "ray" if plugin[2] == "ray" else "slurm"
        missing = f"not installed; {install_line(extra)}"
        remedy = OPTUNA_REMEDY if plugin[2] == "optuna" else missing
        return f"hydra/{plugin[1]}={plugin[2]}: {remedy}"
    if "validated against ConfigStore schema" in text:
        return (
            "sweep=optuna: hydra-optuna-sweeper is in its way; pip uninstall hydra-optuna-sweeper"
        )
    listed_option = re.search(r"Could not load '([\w-]+)/([\w.-]+)'", text)
    if listed_option:  # one of several, as in loss=[l1,...]
        group, name = listed_option[1], listed_option[2]
        options = group_options(group, filter(is_search_key, overrides))
        return f"{group}={name}: no such option, {did_you_mean(name, options)}"
    said, grammar, _ = text.partition("See https://hydra.cc")
    if grammar or "mismatched input" in text or "extraneous input" in text:
        said = " ".join(said.split()).removeprefix("LexerNoViableAltException: ")
        return (
            f"{said}; quote values that hold = , ( ) or spaces: "
            'key=\'"..."\', and in a list: \'key=["...","..."]\''
        )
    return " ".join(text.split())


def valid_keys(command: str, wrong: str, overrides: Sequence[str]) -> list[str]:
    """The keys that could have been meant, with the groups that were chosen."""
    sources = list(filter(is_search_key, overrides))
    choices = [
        override
        for override in overrides
        if "." not in override.partition("=")[0]
        and override.lstrip("+~").partition("=")[0] != wrong
        and is_group(override.partition("=")[0], sources)
    ]
    with initialized_hydra():
        try:
            keys = list(flat_keys(hydra.compose(command, [*choices, *sources])))
        except HydraException:
            keys = list(flat_keys(hydra.compose(command, sources)))
    extra = {"train": ["experiment"], "evaluate": ["data", "trainer"]}.get(command, [])
    depth, name = wrong.count("."), wrong.rpartition(".")[2]
    alike = [key for key in keys if key.endswith(f".{name}")]
    return alike or [key for key in (*keys, *extra) if key.count(".") == depth]
