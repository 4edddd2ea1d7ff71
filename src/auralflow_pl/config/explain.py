"""Turn exceptions into one line that names the mistake and the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.checks.imports import RENAMED_ARGUMENTS, renamed
from auralflow_pl.config.instantiate import flat_keys
from auralflow_pl.config.schema import COMMAND_SCHEMAS
from auralflow_pl.config.search_path import (
    NAME_FLAGS,
    add_config_dirs,
    group_options,
    initialized_hydra,
    is_group,
    is_search_key,
    split_config_dirs,
    split_flag,
)
from auralflow_pl.errors import InputError, did_you_mean, os_reason
from auralflow_pl.system.extras import install_line

OPTUNA_REMEDY = "of another package too, which is in the way; pip uninstall hydra-optuna-sweeper"

OPTIONAL_GROUPS = {  # groups that are null by default, so no composed key bears their name
    "train": ["experiment"],
    "evaluate": ["data", "trainer"],
    "separate": ["chain"],
}

SET_BY = {  # flags of Lightning's Trainer that other keys set
    "callbacks": "callbacks=...",
    "default_root_dir": "paths.run_dir=...",
    "enable_checkpointing": "callbacks=...",
    "enable_model_summary": "callbacks=...",
    "enable_progress_bar": "silent=...",
    "logger": "logger=...",
    "plugins": "precision=...",
    "precision": "precision=...",
}


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
    chosen = any(word.startswith(("chain=", "+chain", "++chain")) for word in overrides)
    if key and command == "separate" and key[1].startswith("chain.") and not chosen:
        return (
            f"{key[1]}: needs a chain, chain=karaoke {key[1]}=..., or +{key[1]}=... for a step of "
            "your own"
        )
    group, _, flag = key[1].partition(".") if key else ("", "", "")
    if group == "trainer" and flag in SET_BY:
        return set_elsewhere(flag)
    names = split_flag(arguments, NAME_FLAGS, "a name")[1]
    if key and names and is_group(key[1], filter(is_search_key, overrides)):
        return (
            f"{key[1]}: is no group of --config-name {names[0]}, which holds its keys; change "
            "these, or save another with `auralflow config ... --save`"
        )
    if key:
        return unknown_key(command, key[1], overrides)
    return explain_option(text, overrides)


def set_elsewhere(flag: str) -> str:
    """One line for a flag of `SET_BY`."""
    return f"trainer.{flag}: is set by another key; use {SET_BY[flag]}"


def explain_value(error: OmegaConfBaseException) -> str:
    """One line for what OmegaConf says of a value, with its key; it adds lines about types."""
    text = str(error).strip().partition("\n")[0]
    if text.endswith("is not a ListConfig, list or tuple."):
        text = f"expected a list, as in {error.full_key}=[...]"
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
            f"{said}; quote values that hold signs such as = , ( ) & #: "
            'key=\'"..."\', and in a list: \'key=["...","..."]\''
        )
    return " ".join(text.split())


def unknown_key(command: str, wrong: str, overrides: Sequence[str]) -> str:
    """One line for a key that the configuration lacks, with what could have been meant."""
    keys = valid_keys(command, wrong, overrides)
    node, dot, name = wrong.rpartition(".")
    alike = [key for key in keys if key.endswith(f".{name}") and key != wrong]
    beside = [key.rpartition(".")[2] for key in keys if key.rpartition(".")[0] == node]
    group, *part = wrong.split(".")[:2]
    sources = list(filter(is_search_key, overrides))
    for names in RENAMED_ARGUMENTS.values():
        if f"{node}.{names.get(name)}" in keys:
            return renamed(node, name, names[name])
    if wrong in keys:
        return f"{wrong}: no such key with these options; see {command} --cfg job"
    if node not in keys and part and part[0] in group_options(group, sources):
        return f"{wrong}: no such key without {group}={part[0]}, or {group}=[...,{part[0]}]"
    if node in keys and not beside:
        return f"{wrong}: no such key, {node} holds a value; pass {node}=..."
    if alike:
        hint = did_you_mean(wrong, alike)
    elif beside:
        hint = did_you_mean(name, beside, node + dot)
    else:
        hint = did_you_mean(wrong, [key for key in keys if key.count(".") < wrong.count(".")])
    added = f" (to add it: +{wrong}=...)" if is_open(command, wrong) else ""
    return f"{wrong}: no such key, {hint}{added}"


def is_open(command: str, key: str) -> bool:
    """Whether a key lies in a node of a command whose keys are those of a class or function."""
    group, dot, _ = key.partition(".")
    nodes = {entry.name: entry.default_factory for entry in fields(COMMAND_SCHEMAS[command])}
    return bool(dot) and group in nodes and not is_dataclass(nodes[group])


def valid_keys(command: str, wrong: str, overrides: Sequence[str]) -> list[str]:
    """The keys of a command, with the groups that were chosen."""
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
    return [*keys, *OPTIONAL_GROUPS.get(command, [])]
