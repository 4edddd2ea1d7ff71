"""Prepare command-line arguments for Hydra's grammar."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from auralflow_pl.cli.output import fail
from auralflow_pl.cli.table import COMMANDS, LIST_GROUPS, PATH_KEYS, TEXT_KEYS
from auralflow_pl.config.search_path import (
    add_config_dirs,
    group_options,
    is_group,
    is_search_key,
    split_config_dirs,
)


def prepare_arguments(command: str, arguments: list[str]) -> list[str]:
    """Put `-m` first and quote paths and texts for Hydra's grammar.

    Arguments that Hydra would misread are printed as an error, with exit code 1.
    """
    if command == "compare":
        arguments = gather_runs(arguments)
    sweep = [argument for argument in arguments if argument in ("-m", "--multirun")]
    rest = [argument for argument in arguments if argument not in sweep]
    plain, folders = split_config_dirs(rest)
    sources = [key for key in add_config_dirs(plain, folders) if is_search_key(key)]
    word = COMMANDS[command].word
    if word and rest and "=" not in rest[0] and rest[0][0:1] not in ("-", ""):
        rest[0] = f"{word}={rest[0]}"
    for before, argument in zip(["", *rest], rest, strict=False):
        if argument[0:1] in ("-", "~", "") or before.startswith("-"):
            continue
        key, equals, value = argument.partition("=")
        if not equals:
            fail(f"{argument}: expected key=value; see {command} --help")
        if value == "null" and is_group(key, sources):
            fail(f"{argument}: expected one of {', '.join(group_options(key, sources))}")
        if value.startswith("[") and is_group(key, sources) and key not in LIST_GROUPS:
            fail(f"{argument}: {key} takes one option; to compare several, -m {key}={value[1:-1]}")
    texts = TEXT_KEYS.get(command, ())
    return sweep[:1] + [quote_argument(argument, texts, bool(sweep)) for argument in rest]


def gather_runs(arguments: list[str]) -> list[str]:
    """Combine arguments without a key into `runs=[...]`; existing paths may contain `=`."""
    runs = [
        argument
        for argument in arguments
        if os.path.lexists(argument) or ("=" not in argument and argument[0:1] not in ("-", ""))
    ]
    rest = [argument for argument in arguments if argument not in runs]
    return [*rest, f"runs=[{','.join(map(quote_value, runs))}]"] if runs else rest


def quote_argument(argument: str, texts: Sequence[str], sweep: bool) -> str:
    """Quote the value of `key=value` if it is a text or a path.

    In a sweep commas separate values, so only existing paths are quoted.

    Args:
        argument: `key=value`.
        texts: keys whose values are texts.
        sweep: the command line has `-m`.
    """
    key, _, value = argument.partition("=")
    if key in texts and not sweep and value != "null" and value[0:1] not in ("'", '"', ""):
        return f"{key}={quote_value(value)}"
    if not (key in PATH_KEYS or key.startswith("paths.")) or value in ("", "null", "???"):
        return argument
    if value[0] in "'\"[" or "${" in value or (sweep and not os.path.lexists(value)):
        return argument if not os.path.lexists(value) else f"{key}={quote_value(value)}"
    return f"{key}={quote_value(value)}"


def quote_value(value: str) -> str:
    """Quote a value as a string of Hydra's grammar, without interpolation."""
    escaped = re.sub(r"(\\*)(\'|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return "'" + escaped.replace("${", "\\${") + "'"
