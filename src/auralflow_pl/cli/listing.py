"""The keys of a composed configuration with their values and descriptions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from auralflow_pl.cli import docstrings
from auralflow_pl.cli.comments import first_sentence, head_comment, key_comments
from auralflow_pl.config.search_path import (
    group_files,
    initialized_hydra,
    is_search_key,
    search_folders,
)

YAML_SPELLINGS = {"None": "null", "True": "true", "False": "false"}

MAX_MEANING = 200  # characters above which a meaning is cut after its first sentence


@dataclass(frozen=True)
class HelpRow:
    """A key, its value in command-line syntax (None for a node with keys), and its meaning."""

    key: str
    value: str | None
    meaning: str


@dataclass
class HelpSection:
    """Keys of a group, or of the command itself (`group` is empty)."""

    group: str
    choice: list[str]
    rows: list[HelpRow] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Group and options in command-line syntax."""
        if len(self.choice) > 1:
            return f"{self.group}=[{','.join(self.choice)}]"
        return f"{self.group}={''.join(self.choice) or 'null'}"


def help_sections(command: str, overrides: Sequence[str]) -> list[HelpSection]:
    """Sections of the composed configuration of a command, first that of the command itself.

    Args:
        command: name in `cli.table.COMMANDS`.
        overrides: `key=value` and `group=option`.
    """
    content, groups, files = compose_command(command, overrides)
    meanings, owners = comments_of(files)
    found = {"": HelpSection("", [])} | {g: HelpSection(g, choice) for g, choice in groups.items()}
    for group, choice in groups.items():
        owners.setdefault(group, group)
        if choice:  # the chosen option has a more specific text than its defaults
            said = describe_options(group, overrides).get(choice[0], "")
            meanings[group] = said or meanings.get(group, "")
    for row in help_rows(content, meanings):
        owner = owners.get(row.key.partition(".")[0], "")
        found[owner if owner in found else ""].rows.append(row)
    return list(found.values())


def saved_rows(command: str, content: Mapping[str, Any]) -> list[HelpRow]:
    """Rows of a saved configuration of a command; a key that it does not know has no meaning."""
    meanings, _ = comments_of(compose_command(command, [])[2])
    return list(help_rows(content, meanings))


def comments_of(files: Iterable[tuple[Path, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """What the comments of YAML files say of keys, and whose the first parts of keys are.

    Args:
        files: YAML files with their packages.

    Returns:
        texts by dotted key, and names of folders or groups by the first part of the key.
    """
    meanings: dict[str, str] = {}
    owners: dict[str, str] = {}
    for path, package in files:
        for key, text in key_comments(path).items():
            name = ".".join(filter(None, (package, key)))
            owners.setdefault(name.partition(".")[0], path.parent.name)
            if text:
                meanings[name] = text
    return meanings, owners


def compose_command(
    command: str, overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[str, list[str]], list[tuple[Path, str]]]:
    """Compose the configuration of a command.

    Returns:
        the unresolved configuration, the chosen options of each group, and the YAML files with
        their packages.
    """
    folders = search_folders(overrides)
    with initialized_hydra():
        node = hydra.compose(command, list(overrides), return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        defaults = loader.compute_defaults_list(command, list(overrides), RunMode.RUN).defaults
    content = OmegaConf.to_container(node)
    choices = content.pop("hydra")["runtime"]["choices"]
    groups: dict[str, list[str]] = {}
    for default in defaults:
        group, _, option = default.config_path.rpartition("/")
        if group and "/" not in default.parent and not group.startswith("hydra"):
            groups.setdefault(group, []).append(option)
    for group in choices:
        if choices[group] is None and not group.startswith("hydra"):
            groups.setdefault(group, [])
    files = []
    for default in defaults:
        paths = (folder / f"{default.config_path}.yaml" for folder in folders)
        if path := next(filter(Path.is_file, paths), None):
            files.append((path, default.package or ""))
    return content, groups, files


def help_rows(
    node: Mapping[str, Any], meanings: Mapping[str, str], where: str = "", target: str = ""
) -> Iterator[HelpRow]:
    """Yield rows for all keys below a node, nested keys after their node.

    Args:
        node: the node.
        meanings: texts by dotted key, from the comments of YAML files.
        where: dotted key of the node.
        target: its `_target_`, whose docstring takes precedence for the arguments.
    """
    explained = docstrings.argument_texts(target) if target else {}
    for key, value in node.items():
        name = f"{where}.{key}" if where else key
        if key.startswith("_"):
            continue
        meaning = explained.get(key) or meanings.get(name, "")
        if not isinstance(value, dict) or not value:
            yield HelpRow(name, command_line_value(value), shorten_meaning(meaning))
            continue
        part = value.get("_target_", "")
        if part:
            meaning = meanings.get(name) or docstrings.summary_of(part)
        if part or meaning:
            yield HelpRow(name, None, shorten_meaning(meaning))
        yield from help_rows(value, meanings, name, part)


def command_line_value(value: Any) -> str:
    """Format a value in command-line syntax."""
    if isinstance(value, list):
        return f"[{','.join(map(command_line_value, value))}]"
    if isinstance(value, str):
        return value or "''"
    return "{}" if value == {} else json.dumps(value)


def shorten_meaning(text: str) -> str:
    """Shorten a long text to its first sentence, and write None, True and False as in YAML."""
    if len(text) > MAX_MEANING:
        text = first_sentence(text)
    text = re.sub(r"(:\w+:)?``?(.*?)``?", r"`\2`", text)
    text = re.sub(r"\b(None|True|False)\b", lambda m: YAML_SPELLINGS[m[0]], text)
    return text if text[-1:] in ("", ".", ")") else f"{text}."


def describe_options(group: str, overrides: Sequence[str] = ()) -> dict[str, str]:
    """First sentence on each option of a group, by name."""
    files = group_files(group, filter(is_search_key, overrides))
    return {name: first_sentence(head_comment(path)) for name, path in files.items()}
