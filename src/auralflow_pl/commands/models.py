"""The command `models`: list pretrained models, show one, or remove one from the cache."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import plain
from auralflow_pl.config.schema import ModelsKeys
from auralflow_pl.config.validation import validated
from auralflow_pl.errors import InputError
from auralflow_pl.pretrained.cache import cached_files, cached_path, folder_of, remove, whereabouts
from auralflow_pl.pretrained.locations import models_folder
from auralflow_pl.pretrained.registry import Entry, Metric, find, read_registries
from auralflow_pl.system.files import megabytes

WIDTH = 80

COLUMNS = {"name": 22, "targets": 17, "architecture": 13, "size": 9, "licence": 11, "where": 8}

HINT = """
To fetch one: auralflow download <name>; to use one: ckpt=pretrained:<name>.
The cache is {folder}."""


def models(config: DictConfig) -> None:
    """Show all models, or one of them in full, or remove one from the cache.

    Raises:
        InputError: no such model.
    """
    config = plain(validated(config, ModelsKeys))
    if config["remove"] is not None:
        if config["name"] is not None:
            raise InputError("remove: pass either a name to be shown or one to be removed")
        for path in remove(config["remove"]):
            print(f"{path}: removed")
        return
    entries = read_registries(config["registries"])
    if config["name"] is not None:
        print("\n".join(in_full(find(entries, config["name"], None))))
        return
    print("\n".join(table(list(entries.values()))))
    print(HINT.format(folder=models_folder()))


def table(entries: Sequence[Entry]) -> list[str]:
    """One line for each model, two if its name is long; cells that are too long are cut."""
    lines = [aligned(tuple(COLUMNS))]
    for entry in entries:
        targets, size = "+".join(entry.targets), megabytes(entry.size)
        cells = (targets, entry.architecture, size, entry.licence, whereabouts(entry))
        if len(entry.name) < COLUMNS["name"]:
            lines.append(aligned((entry.name, *cells)))
        else:
            lines += [entry.name, aligned(("", *cells))]
    for path in strays(entries):
        lines += [path.name, aligned(("", "?", "?", megabytes(path.stat().st_size), "?", "cached"))]
    return lines


def aligned(cells: Sequence[str]) -> str:
    """A line of the table."""
    shown = zip(cells, COLUMNS.values(), strict=True)
    return "".join(f"{shortened(cell, width - 1):<{width}}" for cell, width in shown).rstrip()


def strays(entries: Sequence[Entry]) -> list[Path]:
    """Files of the cache that no registry knows any more."""
    wanted = {cached_path(entry) for entry in entries}
    return [path for path in cached_files() if path not in wanted]


def shortened(cell: str, width: int) -> str:
    """At most `width` characters."""
    return cell if len(cell) <= width else f"{cell[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def in_full(entry: Entry) -> Iterator[str]:
    """All that a registry says of a model."""
    yield from field("name", entry.name)
    if entry.description:
        yield from field("description", entry.description)
    yield from field("targets", ", ".join(entry.targets))
    yield from field("architecture", entry.architecture)
    yield from field("data", entry.data)
    yield from field("licence", entry.licence)
    yield from field("size", f"{entry.size} bytes ({megabytes(entry.size)})")
    yield from field("sha256", entry.sha256)
    for source in entry.sources:
        yield from field("source", source)
    yield from field("registry", str(entry.registry))
    place = folder_of(entry) or cached_path(entry)
    yield from field(whereabouts(entry), str(place))
    for metric in entry.metrics:
        yield from measured(metric)


def measured(metric: Metric) -> Iterator[str]:
    """A metric, its values, and what it means."""
    yield ""
    yield from textwrap.wrap(f"{metric.name}: {metric.definition}", WIDTH)
    for value in metric.values:
        mixture = "" if value.mixture is None else f" (mixture {value.mixture:.2f})"
        tracks = f"{value.tracks} track" + "s" * (value.tracks != 1)
        yield from textwrap.wrap(
            f"{value.target}, {value.data}, {value.average}: {value.value:.2f}{mixture}, {tracks}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )


def field(name: str, value: str) -> list[str]:
    """A name and a text, which is folded but never broken within a word or path."""
    return textwrap.wrap(
        value,
        WIDTH,
        initial_indent=f"{name:<14}",
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )
