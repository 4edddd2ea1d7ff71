"""Print the help of a command and its composed configuration."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from auralflow_pl.cli.listing import (
    HelpRow,
    HelpSection,
    describe_options,
    help_sections,
    saved_rows,
)
from auralflow_pl.config import saved
from auralflow_pl.config.saved import is_config_path, read_config
from auralflow_pl.errors import InputError, did_you_mean


def print_config(command: str, overrides: Sequence[str], wanted: Sequence[str]) -> None:
    """Print the composed configuration of a command, with all options of its groups.

    Args:
        command: name in `cli.table.COMMANDS`.
        overrides: `key=value` and `group=option`.
        wanted: groups or keys to show; empty: all. A path shows a saved configuration instead.

    Raises:
        InputError: there is no such key or group in `wanted`, or the file is no configuration.
    """
    paths = list(filter(is_config_path, wanted))
    if paths:
        print_saved(command, Path(paths[0]), [*overrides, *(w for w in wanted if w != paths[0])])
        return
    found = help_sections(command, overrides)
    names = [name for part in found for name in (part.group, *(row.key for row in part.rows))]
    for name in wanted:
        if name not in names:
            raise InputError(
                f"{name}: no such key or group, {did_you_mean(name, filter(None, names))}"
            )
    for section in found:
        rows = [row for row in section.rows if not wanted or is_wanted(row.key, section, wanted)]
        if rows or not wanted or section.group in wanted:
            options = describe_options(section.group, overrides) if section.group else {}
            print_section(HelpSection(section.group, section.choice, rows), options)


def print_saved(command: str, path: Path, wanted: Sequence[str]) -> None:
    """Print a saved configuration of a command.

    Args:
        command: name in `cli.table.COMMANDS`.
        path: the file, or a run folder.
        wanted: keys to show, and all keys below them; empty: all.

    Raises:
        InputError: the file is no configuration, or has no such key.
    """
    rows = saved_rows(command, read_config(path))
    for name in wanted:
        if "=" in name or is_config_path(name):
            raise InputError(f"{name}: {path} is shown as it is saved; pass no keys beside it")
        if not any(f"{row.key}.".startswith(f"{name}.") for row in rows):
            raise InputError(f"{name}: no such key, {did_you_mean(name, (r.key for r in rows))}")
    for row in rows:
        if not wanted or any(f"{row.key}.".startswith(f"{name}.") for name in wanted):
            print_row(row)


def store_config(
    command: str, overrides: Sequence[str], words: Sequence[str], files: Sequence[str]
) -> None:
    """Save the composed configuration of a command, and print how it is used.

    Args:
        command: name in `cli.table.COMMANDS`.
        overrides: `key=value` and `group=option`.
        words: further words of the command line; none is expected.
        files: values of `--save`; one is expected.

    Raises:
        InputError: a word too many, or the configuration cannot be saved.
    """
    for word in (*words, *files[1:]):
        raise InputError(f"{word}: --save takes one file, and writes all keys; leave this out")
    usage = saved.save_composed(command, overrides, Path(files[0]).expanduser())
    print(f"saved {files[0]}; use it with:\n  {usage}")


def is_wanted(key: str, section: HelpSection, wanted: Sequence[str]) -> bool:
    """Return True if `wanted` has a key, a node above it, or its group."""
    return section.group in wanted or any(f"{key}.".startswith(f"{name}.") for name in wanted)


def print_overview(command: str, text: str, alone: str, overrides: Sequence[str]) -> None:
    """Print the help of a command: its own keys, and its groups with their options.

    Args:
        command: name in `cli.table.COMMANDS`.
        text: purpose of the command.
        alone: what may follow the command without a key, for the usage, or empty.
        overrides: `key=value` and `group=option`.
    """
    own, *groups = help_sections(command, overrides)
    print_paragraph(f"usage: auralflow {command}{alone} [key=value ...] [group=option ...]")
    print()
    print_paragraph(f"{text[0].upper()}{text[1:]}.")
    print("\nkeys (key=value):")
    for row in own.rows:
        print_row(row)
    print("\ngroups (group=option):" if groups else "", end="\n" if groups else "")
    for group in groups:
        names = [*describe_options(group.group, overrides)]
        others = f" of {', '.join(names)}" if {*names} - {*group.choice} else ""
        print_paragraph(f"{group.name}{others}", 2, 6)
    print()
    print_paragraph(
        f"`auralflow config {command}` explains the keys and options of the groups, `--cfg job` "
        "prints the configuration as YAML."
    )


def print_section(section: HelpSection, options: Mapping[str, str]) -> None:
    """Print a section: its name, its keys, and the options of its group."""
    said = [options.get(name) for name in section.choice]
    print(section.name if section.group else "keys of the command")
    for text in filter(None, said):
        print_paragraph(text, 2)
    print()
    repeated = [r for r in section.rows if r.value is None or r.key == section.group]
    shown = [row for row in section.rows if row not in repeated or row.meaning not in said]
    for row in shown:
        print_row(row)
    if {*options} - {*section.choice}:
        print("\n" * bool(shown) + f"  options of {section.group}:")
        for name, text in options.items():
            print_paragraph(f"{name:<16} {text}", 4, 21)
    print()


def print_row(row: HelpRow) -> None:
    """Print a key with its value, and its meaning below."""
    print_paragraph(row.key if row.value is None else f"{row.key}={row.value}", 2, 6)
    print_paragraph(row.meaning, 6)


def print_paragraph(text: str, indent: int = 0, hanging: int | None = None) -> None:
    """Print a text wrapped to 80 columns, or to the width of a narrower terminal.

    Args:
        text: text to print; empty: nothing is printed.
        indent: columns before the first line.
        hanging: columns before further lines; None: as `indent`.
    """
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
