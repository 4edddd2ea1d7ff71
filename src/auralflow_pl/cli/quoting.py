"""Prepare command-line arguments for Hydra's grammar."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import fields
from pathlib import Path

from auralflow_pl.cli.output import fail
from auralflow_pl.cli.table import COMMANDS, TEXT_KEYS
from auralflow_pl.config.names import LIST_GROUPS, home_expanded, is_path_key, literal
from auralflow_pl.config.schema import COMMAND_SCHEMAS
from auralflow_pl.config.search_path import (
    add_config_dirs,
    group_options,
    is_group,
    is_search_key,
    split_config_dirs,
)
from auralflow_pl.errors import did_you_mean

QUOTES = ("'", '"')

CONFIG_PATH_FLAGS = ("--config-path", "-cp")

FLAGS_WITH_VALUES = (
    *CONFIG_PATH_FLAGS,
    *("--config-dir", "-cd", "--config-name", "-cn", "--cfg", "-c", "--package", "-p"),
    "--experimental-rerun",
)

SWEEP_FLAGS = ("-m", "--multirun", "hydra.mode=MULTIRUN")

WORDS_MEANT = {  # keys that a word without one is probably meant for, where none is taken so
    "evaluate": "ckpt",
    "separate": "input",
    "live": "input",
    "export": "ckpt",
    "combine": "ckpt",
    "doctor": "data.root",
}

WORD = re.compile(  # a value, or an entry of a list
    r"[^\[\]{},:()=\s](?:[^\[\]{},:()=]*[^\[\]{},:()=\s])?"
)

NO_NAME = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?|true|false", re.IGNORECASE)

SEVERAL_SEEDS = re.compile(r"\+{0,2}seeds=(?!1$)")


def prepare_arguments(command: str, arguments: list[str]) -> list[str]:
    """Put `-m` first, also for `seeds=3`, and quote paths and texts for Hydra's grammar.

    Arguments that Hydra would misread are printed as an error, with exit code 1.
    """
    if COMMANDS[command].many:
        arguments = gather_words(arguments, COMMANDS[command].word)
    arguments = absolute_config_path(arguments)
    sweep = [argument for argument in arguments if argument in SWEEP_FLAGS]
    if command == "train" and not sweep and any(map(SEVERAL_SEEDS.match, arguments)):
        sweep = ["-m"]
    rest = [argument for argument in arguments if argument not in sweep]
    plain, folders = split_config_dirs(rest)
    sources = [key for key in add_config_dirs(plain, folders) if is_search_key(key)]
    word = COMMANDS[command].word
    if word and rest and "=" not in rest[0] and rest[0][0:1] not in ("-", ""):
        rest[0] = f"{word}={rest[0]}"
    for before, argument in zip(["", *rest], rest, strict=False):
        refuse_key_as_flag(before, argument, command)
        if argument[0:1] in ("-", "~", "") or before.startswith("-"):
            continue
        key, equals, value = argument.partition("=")
        if not equals:
            fail(f"{argument}: expected key=value{suggestion(argument, command)}")
        if value == "null" and is_group(key, sources):
            fail(f"{argument}: expected one of {', '.join(group_options(key, sources))}")
        group = key.lstrip("+")
        if NO_NAME.fullmatch(value) and is_group(group, sources):  # Hydra raises a ValueError
            fail(
                f"{argument}: no such option, {did_you_mean(value, group_options(group, sources))}"
            )
        if value.startswith("[") and is_group(key, sources) and key not in LIST_GROUPS:
            fail(f"{argument}: {key} takes one option; to compare several, -m {key}={value[1:-1]}")
    quoted = [quote_argument(argument, command, bool(sweep)) for argument in rest]
    return sweep[:1] + keys_first(quoted)


def keys_first(arguments: list[str]) -> list[str]:
    """Arguments with all flags at the end: after one, argparse takes no further keys."""
    is_flag = [
        argument.startswith("-") or before in FLAGS_WITH_VALUES
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]
    return [
        argument
        for chosen in (False, True)
        for argument, flag in zip(arguments, is_flag, strict=True)
        if flag is chosen
    ]


def suggestion(argument: str, command: str) -> str:
    """What a word without `=` was probably meant as, for messages."""
    key = WORDS_MEANT.get(command)
    meant = f", as in {key}={argument}" if key else ""
    return f"{meant}; see auralflow {command} --help"


def refuse_key_as_flag(before: str, argument: str, command: str) -> None:
    """End with an error for `--input song.mp3` and `--input=song.mp3`, as other tools have it."""
    keys = [entry.name for entry in fields(COMMAND_SCHEMAS[command])]
    flag, equals, value = argument.partition("=")
    if flag.startswith("--") and equals and flag[2:] in keys:
        fail(f"{argument}: a setting is a key, {flag[2:]}={value}")
    if before.startswith("--") and before[2:] in keys and not equals:
        fail(f"{before} {argument}: a setting is a key, {before[2:]}={argument}")


def absolute_config_path(arguments: list[str]) -> list[str]:
    """Arguments with an absolute folder after `--config-path`.

    Hydra takes it as relative to the file with `hydra.main`, which lies in this package. Here it is
    relative to the program that the user started, such as train.py; else to the current folder.
    """
    program = Path(sys.argv[0])
    home = program.parent if program.suffix == ".py" else Path()

    def absolute(folder: str) -> str:
        found = next((place for place in (home / folder, Path(folder)) if place.is_dir()), None)
        return str(found.absolute()) if found else folder

    made: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        flag, equals, folder = argument.partition("=")
        if before in CONFIG_PATH_FLAGS:
            made.append(absolute(argument))
        elif flag in CONFIG_PATH_FLAGS and equals:
            made.append(f"{flag}={absolute(folder)}")
        else:
            made.append(argument)
    return made


def gather_words(arguments: list[str], key: str) -> list[str]:
    """Combine arguments without a key into `<key>=[...]`; existing paths may contain `=`."""
    words = [
        argument
        for argument in arguments
        if os.path.lexists(argument) or ("=" not in argument and argument[0:1] not in ("-", ""))
    ]
    rest = [argument for argument in arguments if argument not in words]
    quoted = (
        quote_groups(word)
        if word.startswith("[") and not os.path.lexists(word)
        else quote_value(word)
        for word in words
    )
    return [*rest, f"{key}=[{','.join(quoted)}]"] if words else rest


def quote_groups(value: str) -> str:
    """Quote each path of nested lists, as in `[[runs/a,runs/b],[runs/c]]`."""
    names = r"[^\[\],\s](?:[^\[\],]*[^\[\],\s])?"
    return re.sub(names, lambda found: quote_value(home_expanded(found[0])), value)


def quote_argument(argument: str, command: str, sweep: bool) -> str:
    """Quote the value of `key=value` if it is a text or a path."""
    key, _, value = argument.partition("=")
    if value in ("", "null", "???"):
        return argument
    if key in TEXT_KEYS.get(command, ()) and not sweep and value[0] not in QUOTES:
        return f"{key}={quote_value(value)}"
    if is_path_key(key):
        return f"{key}={quote_paths(value, command, sweep)}"
    if value.isascii() or any(sign in value for sign in (*QUOTES, "${")):
        return argument
    return f"{key}={WORD.sub(lambda part: quote_letters(part[0]), value)}"


def quote_letters(word: str) -> str:
    """Quote a word with letters beyond ASCII, which Hydra's grammar has in quotes only."""
    return word if word.isascii() else quote_value(word)


def quote_paths(value: str, command: str, sweep: bool) -> str:
    """Quote one path or several, as in `[a b.wav,c.wav]`, or `a b.ckpt,c.ckpt` in a sweep.

    What is quoted already, ranges and references (`${paths.data_dir}/x`) are left as they are,
    except names of existing files.
    """
    if os.path.lexists(value):
        return quote_value(value)
    listed = value.startswith("[") and value.endswith("]")
    if listed and command == "compare" and not any(sign in value for sign in QUOTES):
        return quote_groups(value)
    if listed and (sweep or value == "[]"):
        return value
    content = value[1:-1] if listed else value
    paths = [path.strip() for path in content.split(",")] if listed or sweep else [value]
    if any(path[0:1] in QUOTES or is_reference(path, command) for path in paths):
        return value
    if sweep and re.match(r"\w+\(", value):  # choice(...), glob(...)
        return value
    quoted = ",".join(quote_value(home_expanded(path)) for path in paths)
    return f"[{quoted}]" if listed else quoted


def is_reference(path: str, command: str) -> bool:
    """Whether `${` in a path begins a reference to a key or a resolver; else it is of a name."""
    keys = [entry.name for entry in fields(COMMAND_SCHEMAS[command])]
    begins = rf"\$\{{\s*([\w.]+:|\$\{{|({'|'.join(keys)}|hydra)\s*[.\[}}])|\\\$\{{"
    return not os.path.lexists(path) and re.search(begins, path) is not None


def quote_value(value: str) -> str:
    """Quote a value as a string of Hydra's grammar, without interpolation."""
    escaped = re.sub(r"(\\*)(\'|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{literal(escaped)}'"
