"""Completion of the command line in bash, zsh and fish."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.errors import HydraException

from auralflow_pl.cli.listing import compose_command
from auralflow_pl.cli.shells import SHELL_SCRIPTS
from auralflow_pl.config.names import is_path_key
from auralflow_pl.config.search_path import (
    DIR_FLAGS,
    add_config_dirs,
    command_groups,
    command_of,
    group_options,
    is_group,
    is_search_key,
    split_config_dirs,
)
from auralflow_pl.errors import InputError, did_you_mean
from auralflow_pl.pretrained.registry import NAME_PREFIX, read_registries

COMMAND_FLAGS = ("--help", "--cfg", "--multirun", "--config-dir")

SCRIPT_NAMES = ("train", "evaluate", "separate", "export")  # scripts at the top of the repository


@dataclass(frozen=True)
class CommandGrammar:
    """Commands and special keys of the command line."""

    commands: Mapping[str, str]  # commands, with the key that a word without `=` sets, or ""
    tools: Sequence[str]  # commands without configuration
    lists: Sequence[str]  # groups that take several options
    many: Sequence[str]  # commands that take any number of paths without a key


def print_completion(arguments: Sequence[str], grammar: CommandGrammar) -> None:
    """Print the script of a shell, or the candidates for a query of a script.

    The scripts call `auralflow completion query <word> ... <word>`, which prints the candidates
    for the last word, one per line. A candidate that ends with `=`, `.` or `/` is incomplete, so
    the shell adds no space after it.

    Raises:
        InputError: the first argument is neither a shell nor a query.
    """
    kind, *words = arguments or [""]
    if kind == "query":
        print("\n".join(candidates(words or [""], grammar)))
    elif kind == "line":
        print("\n".join(candidates(split_line(words[0]), grammar)))
    elif kind in SHELL_SCRIPTS:
        print(SHELL_SCRIPTS[kind].replace("DOORS", "|".join(SCRIPT_NAMES)))
    else:
        raise InputError(f"completion {kind}: {did_you_mean(kind, SHELL_SCRIPTS)}")


def split_line(line: str) -> list[str]:
    """Split a command line into the words after its program; the last one may be incomplete.

    `python train.py ...` is read as `auralflow train ...`.
    """
    for end in ("", "'", '"'):
        try:
            words = shlex.split(line + end)
            break
        except ValueError:
            words = line.split()
    if line[-1:].isspace():
        words.append("")
    program, *rest = words
    if Path(program).name.startswith("python") and rest:
        return [Path(rest[0]).stem, *rest[1:]]
    return rest


def candidates(words: Sequence[str], grammar: CommandGrammar) -> list[str]:
    """Sorted candidates for the last of the words after `auralflow`."""
    *before, word = words
    if not before:
        return matching_words(word, [*grammar.commands, *grammar.tools, "--help"])
    command, *chosen = before
    if command == "completion":
        return matching_words(word, SHELL_SCRIPTS) if not chosen else []
    extra: list[str] = []
    if command == "config":
        keys = [part.partition("=")[0].partition(".")[0] for part in words[1:]]
        given = chosen and chosen[0] in grammar.commands
        command = chosen[0] if given else command_of(keys, grammar.commands, "train")
        if not chosen:
            groups = {g for name in grammar.commands for g in command_groups(name)}
            extra = [*grammar.commands, *(f"{group}=" for group in groups - {"hydra"})]
    if command not in grammar.commands:
        return []
    if chosen and chosen[-1] in DIR_FLAGS:
        return sorted(file_candidates(word, ""))
    rest, folders = split_config_dirs(chosen)
    chosen = add_config_dirs(rest, folders)
    if "=" not in word and not word.startswith("-"):
        extra += standalone_candidates(command, word, chosen, grammar)
    key, equals, value = word.partition("=")
    if equals:
        return sorted(set(value_candidates(command, key, value, chosen, grammar)))
    if word.startswith("-"):
        return matching_words(word, COMMAND_FLAGS)
    return matching_words(word, [*extra, *key_candidates(command, word, chosen)])


def standalone_candidates(
    command: str, word: str, chosen: Sequence[str], grammar: CommandGrammar
) -> Iterator[str]:
    """Candidates for a word without a key."""
    key = grammar.commands[command]
    if command in grammar.many or (is_path_key(key) and not chosen):
        yield from file_candidates(word, "")
    elif key == "name" and not chosen:
        yield from model_candidates()


def model_candidates() -> list[str]:
    """Names of the models in all registries; empty if a registry is invalid."""
    try:
        return [*read_registries()]
    except InputError:
        return []


def matching_words(word: str, names: Iterable[str]) -> list[str]:
    """Sorted names that begin with a word."""
    return sorted({name for name in names if name.startswith(word)})


def key_candidates(command: str, word: str, chosen: Sequence[str]) -> Iterator[str]:
    """Candidates for a key or group, down to the depth of a word."""
    node, groups = composed_keys(command, chosen)
    where = word[: word.rfind(".") + 1]
    for name in where.split(".")[:-1]:
        node = node.get(name)
        if not isinstance(node, dict):
            return
    if not where:
        yield from (f"{group}=" for group in groups)
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield f"{where}{key}."
        elif not key.startswith("_"):
            yield f"{where}{key}="


def value_candidates(
    command: str, key: str, value: str, chosen: Sequence[str], grammar: CommandGrammar
) -> Iterator[str]:
    """Candidates `key=value` for a value."""
    if key == "remove" or (key == "ckpt" and value.startswith(NAME_PREFIX)):
        start = NAME_PREFIX if key == "ckpt" else ""
        yield from (
            f"{key}={n}" for n in matching_words(value, [f"{start}{m}" for m in model_candidates()])
        )
        return
    if is_path_key(key):
        yield from file_candidates(value, f"{key}=")
        return
    node, groups = composed_keys(command, chosen)
    if key in groups:
        start = max(value.rfind(sign) for sign in "[,") + 1
        if start and key not in grammar.lists and not {"-m", "--multirun"} & set(chosen):
            return
        for name in matching_words(
            value[start:], group_options(key, filter(is_search_key, chosen))
        ):
            yield f"{key}={value[:start]}{name}"
        return
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    if isinstance(node, bool):
        yield from (f"{key}={name}" for name in matching_words(value, ("true", "false")))


def composed_keys(command: str, chosen: Sequence[str]) -> tuple[dict, list[str]]:
    """Composed configuration with the chosen group options, and the names of its groups."""
    sources = list(filter(is_search_key, chosen))
    keys = [word for word in chosen if "=" in word]
    picked = [word for word in keys if is_group(word.partition("=")[0], sources)]
    try:
        content, groups, _ = compose_command(command, [*picked, *sources])
    except HydraException:
        content, groups, _ = compose_command(command, sources)
    return content, list(groups)


def file_candidates(word: str, prefix: str) -> Iterator[str]:
    """Files and folders whose path begins with a word; hidden ones if its name begins with `.`."""
    name = word.rpartition("/")[2]
    folder = word.removesuffix(name)
    try:
        place = os.path.expanduser(folder or ".")  # noqa: PTH111 - never raises
        found = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield f"{prefix}{folder}{entry.name}{'/' if entry.is_dir() else ''}"
