"""The command `models`: list pretrained models, show one, or remove one from the cache."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import ModelsKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable
from auralflow_pl.pretrained.cache import (
    cached_files,
    cached_path,
    local_folder,
    location,
    remove_cached,
    stored_bytes,
)
from auralflow_pl.pretrained.entries import RegistryEntry, ReportedMetric
from auralflow_pl.pretrained.locations import models_folder
from auralflow_pl.pretrained.registry import find_entry, read_registries
from auralflow_pl.system.files import in_megabytes

TABLE_WIDTH = 80

TABLE_COLUMNS = {
    "name": 22,
    "targets": 17,
    "architecture": 13,
    "size": 9,
    "licence": 11,
    "where": 8,
}

REMOVE_HINT = """
To fetch one: auralflow download <name>; to use one: ckpt=pretrained:<name>.
The cache is {folder}."""


def models(config: DictConfig) -> None:
    """List all models, show the registry entry of one, or remove one from the cache.

    Raises:
        InputError: there is no such model, or a registry cannot be read.
    """
    config = to_plain(validate(config, ModelsKeys))
    if config["remove"] is not None:
        if config["name"] is not None:
            raise InputError("remove: pass either a name to be shown or one to be removed")
        for path in remove_cached(config["remove"]):
            print(printable(f"{path}: removed"))
        return
    entries = read_registries(config["registries"])
    if config["name"] is not None:
        print("\n".join(describe_entry(find_entry(entries, config["name"], None))))
        return
    print("\n".join(models_table(list(entries.values()))))
    print(REMOVE_HINT.format(folder=models_folder()))


def models_table(entries: Sequence[RegistryEntry]) -> list[str]:
    """Lines of the table: one for each model, two if its name is long; long cells are cut."""
    lines = [align_columns(tuple(TABLE_COLUMNS))]
    for entry in entries:
        targets, size = "+".join(entry.targets), in_megabytes(entry.size) if entry.size else "?"
        cells = (targets, entry.architecture, size, entry.licence, location(entry))
        if len(entry.name) < TABLE_COLUMNS["name"]:
            lines.append(align_columns((entry.name, *cells)))
        else:
            lines += [entry.name, align_columns(("", *cells))]
    for path in unlisted_files(entries):
        lines += [
            path.name,
            align_columns(("", "?", "?", in_megabytes(stored_bytes(path)), "?", "cached")),
        ]
    return lines


def align_columns(cells: Sequence[str]) -> str:
    """Format the cells of a line of the table."""
    shown = zip(cells, TABLE_COLUMNS.values(), strict=True)
    return "".join(f"{shorten_cell(cell, width - 1):<{width}}" for cell, width in shown).rstrip()


def unlisted_files(entries: Sequence[RegistryEntry]) -> list[Path]:
    """Files in the cache without a registry entry."""
    wanted = {cached_path(entry) for entry in entries}
    return [path for path in cached_files() if path not in wanted]


def shorten_cell(cell: str, width: int) -> str:
    """Cut a cell to `width` characters, with an ellipsis."""
    return cell if len(cell) <= width else f"{cell[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def describe_entry(entry: RegistryEntry) -> Iterator[str]:
    """Lines with the registry entry of a model."""
    yield from format_field("name", entry.name)
    if entry.description:
        yield from format_field("description", entry.description)
    yield from format_field("targets", ", ".join(entry.targets))
    yield from format_field("architecture", entry.architecture)
    yield from format_field("data", entry.data)
    yield from format_field("licence", entry.licence)
    for file in entry.files:
        if entry.in_parts:
            yield from format_field("file", file.name)
        if file.size:
            yield from format_field("size", f"{file.size} bytes ({in_megabytes(file.size)})")
        partial = "..." if len(file.sha256) < 64 else ""
        yield from format_field("sha256", file.sha256 + partial)
        for source in file.sources:
            yield from format_field("source", source)
    yield from format_field("registry", str(entry.registry))
    place = local_folder(entry) or cached_path(entry)
    yield from format_field(location(entry), str(place))
    for metric in entry.metrics:
        yield from measured_lines(metric)


def measured_lines(metric: ReportedMetric) -> Iterator[str]:
    """Lines with the definition and the values of a metric."""
    yield ""
    yield from textwrap.wrap(f"{metric.name}: {metric.definition}", TABLE_WIDTH)
    for value in metric.values:
        mixture = "" if value.mixture is None else f" (mixture {value.mixture:.2f})"
        tracks = f"{value.tracks} track" + "s" * (value.tracks != 1)
        yield from textwrap.wrap(
            f"{value.target}, {value.data}, {value.average}: {value.value:.2f}{mixture}, {tracks}",
            TABLE_WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )


def format_field(name: str, value: str) -> list[str]:
    """Format a field as wrapped lines, without breaks within words and paths."""
    return textwrap.wrap(
        value,
        TABLE_WIDTH,
        initial_indent=f"{name:<14}",
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )
