"""Pages of all keys: one for each command and for each group of the configuration.

Values and meanings are those of `auralflow config` and `--help` (`cli.listing`), which reads the
YAML files, their comments, and the docstrings of the classes that they name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from auralflow_pl.cli.comments import head_comment, key_comments
from auralflow_pl.cli.listing import HelpRow, HelpSection, describe_options, help_sections
from auralflow_pl.cli.table import COMMANDS
from auralflow_pl.config.locations import config_dir
from auralflow_pl.config.names import LIST_GROUPS
from auralflow_pl.config.search_path import group_files, group_options
from extensions.writing import code, escape, table, toctree, write_page

WHOLE = "experiment"  # a group whose options set keys of other groups
OF_HYDRA = ("hydra/sweeper", "hydra/sweeper/sampler")  # explained by their comments alone
HEADS = ("key", "default", "meaning")


def write_pages(folder: Path) -> None:
    """Write the pages into `<folder>/commands` and `<folder>/keys`."""
    groups = [*group_commands(), WHOLE, *OF_HYDRA]
    for name in COMMANDS:
        write_page(folder / "commands" / f"{name}.md", command_page(name))
    write_page(folder / "commands" / "index.md", commands_index())
    rows = option_rows()
    for group in groups:
        if group == WHOLE:
            lines = whole_page(group)
        elif group in OF_HYDRA:
            lines = commented_page(group)
        else:
            lines = group_page(group, rows[group])
        write_page(folder / "keys" / f"{page_name(group)}.md", lines)
    write_page(folder / "keys" / "index.md", groups_index(groups))


@cache
def composed_sections(command: str) -> list[HelpSection]:
    """Sections of a command with its defaults."""
    return help_sections(command, [])


@cache
def group_commands() -> dict[str, str]:
    """Groups that have keys of their own, each with the first command that has it."""
    found: dict[str, str] = {}
    for command in COMMANDS:
        for section in composed_sections(command):
            if section.group not in ("", WHOLE):
                found.setdefault(section.group, command)
    return found


def page_name(group: str) -> str:
    """Name of the page of a group."""
    return group.replace("/", "-")


def option_rows() -> dict[str, dict[str, list[HelpRow]]]:
    """Rows of every option of every group: each is composed once, together with others."""
    found: dict[str, dict[str, list[HelpRow]]] = {group: {} for group in group_commands()}
    groups = [group for group, command in group_commands().items() if command == "train"]
    together = [f"{group}=[{','.join(group_options(group))}]" for group in LIST_GROUPS]
    for section in help_sections("train", together):
        if section.group in LIST_GROUPS:
            found[section.group] = split_rows(section)
    single = {group: group_options(group) for group in groups if group not in LIST_GROUPS}
    for names in itertools.zip_longest(*single.values()):
        chosen = {group: name for group, name in zip(single, names, strict=True) if name}
        words = [f"{group}={name}" for group, name in chosen.items()]
        for section in help_sections("train", words):
            if section.group in chosen:
                found[section.group][chosen[section.group]] = section.rows
    for group in found.keys() - groups:
        for name in group_options(group):
            sections = help_sections(group_commands()[group], [f"{group}={name}"])
            found[group][name] = next(part.rows for part in sections if part.group == group)
    return found


def split_rows(section: HelpSection) -> dict[str, list[HelpRow]]:
    """Rows of options that were chosen together: those of `<group>.<option>` and below."""
    return {
        name: [r for r in section.rows if f"{r.key}.".startswith(f"{section.group}.{name}.")]
        for name in group_options(section.group)
    }


def group_page(group: str, options: dict[str, list[HelpRow]]) -> Iterator[str]:
    """Lines of the page of a group."""
    yield from heading(group)
    texts = describe_options(group)
    rows = ((f"[`{name}`](#{anchor(group, name)})", escape(texts[name])) for name in options)
    yield from table((f"`{group}=`", "what it is"), rows)
    shared = shared_keys(list(options.values()))
    if shared:
        yield from ("## Keys of all options", "")
        yield from key_table(shared)
    for name, found in options.items():
        yield from option_section(group, name, [row for row in found if row not in shared])


def shared_keys(options: list[list[HelpRow]]) -> list[HelpRow]:
    """Rows that are the same in all of several options."""
    if len(options) < 2:
        return []
    return [row for row in options[0] if all(row in rows for rows in options[1:])]


def option_section(group: str, name: str, rows: list[HelpRow]) -> Iterator[str]:
    """Lines on one option: its comment, what it is made of, its keys."""
    path = group_files(group)[name]
    yield from (f"({anchor(group, name)})=", f"## `{group}={name}`", "")
    yield from (escape(head_comment(path)), "")
    parts = [
        part
        for part in yaml.safe_load(path.read_text("utf-8")).get("defaults", ())
        if isinstance(part, str) and not part.startswith("_")
    ]
    if parts and group in LIST_GROUPS:
        yield from (f"The same as `{group}=[{','.join(parts)}]`.", "")
    yield from key_table([row for row in rows if row.value is not None])


def whole_page(group: str) -> Iterator[str]:
    """Lines of the page of a group whose options set keys of others: their files as they are."""
    yield from heading(group)
    yield from ("Keys on the command line override those of an option.", "")
    for name, path in group_files(group).items():
        text = path.read_text("utf-8").splitlines()
        shown = itertools.dropwhile(lambda line: line.startswith("#"), text)
        yield from (f"({anchor(group, name)})=", f"## `{group}={name}`", "")
        yield from (escape(head_comment(path)), "", "```yaml", *shown, "```", "")


def commented_page(group: str) -> Iterator[str]:
    """Lines of the page of a group of Hydra's, by the comments of its files."""
    yield from heading(group)
    for path in sorted((config_dir() / group).glob("*.yaml")):
        comments = key_comments(path)
        content = yaml.safe_load(path.read_text("utf-8"))
        node = ".".join(group.split("/"))
        yield from (f"## `{group}={path.stem}`", "", escape(head_comment(path)), "")
        yield from key_table(
            [
                HelpRow(f"{node}.{key}", yaml_value(value), comments.get(key, ""))
                for key, value in content.items()
                if key != "defaults" and not key.startswith("_")
            ]
        )


def yaml_value(value: Any) -> str:
    """A value as YAML writes it on one line."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def heading(group: str) -> list[str]:
    """Title of the page of a group."""
    several = f" Several are given as a list: `{group}=[...]`." if group in LIST_GROUPS else ""
    return [f"# `{group}`", "", f"Options of `{group}=`.{several}", ""]


def anchor(group: str, name: str) -> str:
    """Label of an option."""
    return f"{page_name(group)}-{name}".replace("_", "-").lower() + "-option"


def key_table(rows: list[HelpRow]) -> list[str]:
    """A table of keys; none without rows."""
    if not rows:
        return []
    return table(HEADS, ((code(r.key), code(r.value or ""), escape(r.meaning)) for r in rows))


def command_page(name: str) -> Iterator[str]:
    """Lines of the page of a command."""
    own, *groups = composed_sections(name)
    word = f" [<{COMMANDS[name].word}>]" if COMMANDS[name].word else ""
    text = COMMANDS[name].text
    yield from (f"# `auralflow {name}`", "", f"{text[0].upper()}{text[1:]}.", "")
    yield from ("```", f"auralflow {name}{word} [key=value ...] [group=option ...]", "```", "")
    yield from key_table([row for row in own.rows if row.value is not None])
    known = {*group_commands(), WHOLE}
    shown = [part for part in groups if part.group in known]
    if shown:
        yield from ("## Groups", "")
        pages = ((f"[`{p.group}`](../keys/{page_name(p.group)}.md)", code(p.name)) for p in shown)
        yield from table(("group", "default"), pages)


def commands_index() -> Iterator[str]:
    """Lines of the list of commands."""
    yield from ("# Commands", "")
    rows = ((f"[`{name}`]({name}.md)", command.text) for name, command in COMMANDS.items())
    yield from table(("command", "purpose"), rows)
    yield from ("`auralflow config` and `auralflow completion` are explained in",)
    yield from (
        "[training](../../training.md#saved-configurations) and "
        "[the first steps](../../start.md#keys).",
        "",
    )
    yield from toctree(COMMANDS)


def groups_index(groups: list[str]) -> Iterator[str]:
    """Lines of the list of groups."""
    yield from ("# Keys", "", "Every key of every group, with its default and meaning, as")
    yield from ("`auralflow config` prints them. `???` has no default; `${a.b}` is the value",)
    yield from (
        "of another key. Keys of a command itself are on",
        "[its page](../commands/index.md).",
    )
    yield ""
    rows = (
        (f"[`{group}`]({page_name(group)}.md)", ", ".join(map(code, group_options(group))))
        for group in groups
    )
    yield from table(("group", "options"), rows)
    yield from toctree(map(page_name, groups))
