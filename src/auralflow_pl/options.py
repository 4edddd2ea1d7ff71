"""What can be chosen: every key of a composed configuration with its value and its meaning.

Meanings are read where they are written for people who read the code: in the docstrings of what
`_target_` names, and in the comments of the YAML files.
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from auralflow_pl import docstrings
from auralflow_pl.comments import comments, first_sentence, head
from auralflow_pl.config import config_dir
from auralflow_pl.errors import InputError, did_you_mean

SPELLING = {"None": "null", "True": "true", "False": "false"}
LONG = 200  # characters, from which on a meaning is cut after its first sentence


@dataclass(frozen=True)
class Row:
    """A key, its value as the command line takes it (None for a part with keys), its meaning."""

    key: str
    value: str | None
    meaning: str


@dataclass
class Section:
    """The keys of a command itself (`group` is empty), or those that a group brought."""

    group: str
    choice: list[str]
    rows: list[Row] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As the command line takes it."""
        if len(self.choice) > 1:
            return f"{self.group}=[{','.join(self.choice)}]"
        return f"{self.group}={''.join(self.choice) or 'null'}"


def config(command: str, overrides: Sequence[str], wanted: Sequence[str]) -> None:
    """Print the composed configuration of a command, with all options of the chosen parts.

    Args:
        command: of the table `cli.COMMANDS`.
        overrides: `key=value` and `group=option`.
        wanted: groups or keys to show; empty: all.

    Raises:
        InputError: nothing is called like one of `wanted`.
    """
    found = sections(command, overrides)
    names = [name for part in found for name in (part.group, *(row.key for row in part.rows))]
    for name in wanted:
        if name not in names:
            raise InputError(
                f"{name}: no such key or group, {did_you_mean(name, filter(None, names))}"
            )
    for section in found:
        rows = [row for row in section.rows if not wanted or chosen(row.key, section, wanted)]
        if rows or not wanted or section.group in wanted:
            show(Section(section.group, section.choice, rows))


def chosen(key: str, section: Section, wanted: Sequence[str]) -> bool:
    """Whether a key is asked for, by its name, that of a part that holds it, or its group."""
    return section.group in wanted or any(f"{key}.".startswith(f"{name}.") for name in wanted)


def overview(command: str, text: str, word: str, overrides: Sequence[str]) -> None:
    """Print the help of a command: its own keys, and its groups with their options.

    Args:
        command: of the table `cli.COMMANDS`.
        text: what it is for.
        word: key of a word that stands alone, or empty.
        overrides: `key=value` and `group=option`.
    """
    own, *groups = sections(command, overrides)
    alone = f" [<{word}>]" if word else ""
    paragraph(f"usage: auralflow {command}{alone} [key=value ...] [group=option ...]")
    print()
    paragraph(f"{text[0].upper()}{text[1:]}.")
    print("\nkeys (key=value):")
    for row in own.rows:
        entry(row)
    print("\ngroups (group=option):" if groups else "", end="\n" if groups else "")
    for group in groups:
        names = ", ".join(options(group.group))
        paragraph(f"{group.name} of {names}" if "," in names else group.name, 2, 6)
    print()
    paragraph(
        f"`auralflow config {command}` explains the keys and options of the groups, `--cfg job` "
        "prints the configuration as YAML."
    )


def show(section: Section) -> None:
    """Print a section: its name, its keys, and what else the group offers."""
    said = [options(section.group).get(name) for name in section.choice]
    print(section.name if section.group else "keys of the command")
    for text in filter(None, said):
        paragraph(text, 2)
    print()
    repeated = [r for r in section.rows if r.value is None or r.key == section.group]
    shown = [row for row in section.rows if row not in repeated or row.meaning not in said]
    for row in shown:
        entry(row)
    others = options(section.group) if section.group else {}
    if len(others) > 1:
        print("\n" * bool(shown) + f"  options of {section.group}:")
        for name, text in others.items():
            paragraph(f"{name:<16} {text}", 4, 21)
    print()


def entry(row: Row) -> None:
    """Print a key with its value, and below it what it means."""
    paragraph(row.key if row.value is None else f"{row.key}={row.value}", 2, 6)
    paragraph(row.meaning, 6)


def paragraph(text: str, indent: int = 0, hanging: int | None = None) -> None:
    """Print text, if any, in lines of at most 80 columns, or as wide as a narrower terminal."""
    width = min(80, shutil.get_terminal_size((80, 24)).columns)
    hanging = indent if hanging is None else hanging
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * hanging,
        break_on_hyphens=False,
    )
    print("".join(f"{line}\n" for line in lines), end="")


def sections(command: str, overrides: Sequence[str]) -> list[Section]:
    """The composed configuration, those keys first that belong to no group."""
    content, groups, files = composed(command, overrides)
    meanings: dict[str, str] = {}
    owners: dict[str, str] = {}
    for path, package in files:
        for key, text in comments(path).items():
            name = ".".join(filter(None, (package, key)))
            owners.setdefault(name.partition(".")[0], path.parent.name)
            if text:
                meanings[name] = text
    found = {"": Section("", [])} | {g: Section(g, choice) for g, choice in groups.items()}
    for group, choice in groups.items():
        owners.setdefault(group, group)
        meanings.setdefault(group, options(group).get(choice[0], "") if choice else "")
    for row in rows(content, meanings):
        owner = owners.get(row.key.partition(".")[0], "")
        found[owner if owner in found else ""].rows.append(row)
    return list(found.values())


def composed(
    command: str, overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[str, list[str]], list[tuple[Path, str]]]:
    """A configuration, the options of each group, and the YAML files with their packages."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        node = compose(command, list(overrides), return_hydra_config=True)
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
    paths = [(config_dir() / f"{d.config_path}.yaml", d.package or "") for d in defaults]
    return content, groups, [(path, package) for path, package in paths if path.is_file()]


def rows(
    node: Mapping[str, Any], meanings: Mapping[str, str], where: str = "", target: str = ""
) -> Iterator[Row]:
    """All keys below a node, those of its parts after their heads."""
    explained = docstrings.arguments(target) if target else {}
    for key, value in node.items():
        name = f"{where}.{key}" if where else key
        if key.startswith("_"):
            continue
        meaning = explained.get(key) or meanings.get(name, "")
        if not isinstance(value, dict) or not value:
            yield Row(name, scalar(value), shortened(meaning))
            continue
        part = value.get("_target_", "")
        if part:
            meaning = meanings.get(name) or docstrings.summary(part)
        if part or meaning:
            yield Row(name, None, shortened(meaning))
        yield from rows(value, meanings, name, part)


def scalar(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, list):
        return f"[{','.join(map(scalar, value))}]"
    if isinstance(value, str):
        return value or "''"
    return "{}" if value == {} else json.dumps(value)


def shortened(text: str) -> str:
    """The first sentence of a long text, all of a short one; values as in YAML."""
    if len(text) > LONG:
        text = first_sentence(text)
    text = re.sub(r"(:\w+:)?``?(.*?)``?", r"`\2`", text)
    text = re.sub(r"\b(None|True|False)\b", lambda m: SPELLING[m[0]], text)
    return text if text[-1:] in ("", ".", ")") else f"{text}."


@cache
def options(group: str) -> dict[str, str]:
    """What a group offers: names, and a sentence about each."""
    paths = sorted((config_dir() / group).glob("[!_]*.yaml"))
    return {path.stem: first_sentence(head(path)) for path in paths}
