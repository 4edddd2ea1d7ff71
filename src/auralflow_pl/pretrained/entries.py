"""Entries of registries: a pretrained model, its files and where they are."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from auralflow_pl.checks.kinds import (
    check_mapping,
    expect_mapping,
    expect_number,
    expect_sequence,
    expect_text,
    expect_whole,
    expect_words,
)
from auralflow_pl.errors import InputError, shown

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # safe as a file name

FILE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

SOURCE_SCHEMES = ("https", "http", "hf", "file", "package")

MAX_FILE_BYTES = 2**32


class ReportedValue(NamedTuple):
    """Value of a metric for one target on one data set."""

    target: str
    data: str
    average: str  # kind of average: "mean over tracks"
    value: float
    mixture: float | None  # value for the unprocessed mixture
    tracks: int


class ReportedMetric(NamedTuple):
    """A metric with its definition and its values."""

    name: str
    definition: str
    values: tuple[ReportedValue, ...]


class ModelFile(NamedTuple):
    """A file of a model: the archive, the weights file of a folder, or one of several files."""

    name: str  # in the cache
    size: int | None  # bytes; None: not stated
    sha256: str  # all 64 digits, or at least the first 8 where the publisher states no more
    sources: tuple[str, ...]  # addresses and absolute paths, in order of preference


@dataclass(frozen=True)
class RegistryEntry:
    """Description and sources of one model in a registry."""

    name: str
    targets: tuple[str, ...]
    architecture: str
    data: str  # training data
    licence: str
    files: tuple[ModelFile, ...]
    in_parts: bool  # the files are those of a foreign format, which lie together in a folder
    metrics: tuple[ReportedMetric, ...]
    description: str
    registry: Path  # the file with this entry

    @property
    def size(self) -> int | None:
        """Bytes of all files; None if the size of one is not stated."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None

    @property
    def sha256(self) -> str:
        """Digest of the file, or of the names and digests of several files."""
        if not self.in_parts:
            return self.files[0].sha256
        parts = "\n".join(f"{file.name} {file.sha256}" for file in self.files)
        return hashlib.sha256(parts.encode()).hexdigest()


def read_entry(name: Any, node: Any, path: Path) -> RegistryEntry:
    """Check and build one entry; relative paths among its sources become absolute."""
    if not (isinstance(name, str) and NAME_PATTERN.fullmatch(name)):
        raise InputError(
            f"{path}: {shown(name)}: not a name; use up to 64 letters, digits, - and _"
        )
    in_parts = isinstance(node, dict) and "files" in node
    fields = ENTRY_FIELDS | ({"files": expect_mapping} if in_parts else FILE_FIELDS)
    values = check_mapping(node, fields, f"{path}: {name}.", ("metrics", "description"))
    base = path.absolute().parent
    if in_parts:
        files = tuple(
            read_file(part, file, f"{path}: {name}.files.", base)
            for part, file in values.pop("files").items()
        )
    else:
        single = {key: values.pop(key) for key in FILE_FIELDS}
        archive = f"{name}-{single['sha256'][:12]}.zip"
        files = (ModelFile(archive, **single | {"sources": placed(single["sources"], base)}),)
    where = f"{path}: {name}.metrics."
    metrics = tuple(read_metric(metric, where) for metric in values.pop("metrics", ()))
    description = values.pop("description", "")
    return RegistryEntry(
        name,
        **values,
        files=files,
        in_parts=in_parts,
        metrics=metrics,
        description=description,
        registry=path,
    )


def read_file(name: Any, node: Any, where: str, base: Path) -> ModelFile:
    """Check and build one of several files of an entry; `where` precedes the keys in messages."""
    if not (isinstance(name, str) and FILE_PATTERN.fullmatch(name)):
        raise InputError(f"{where}{shown(name)}: not a file name; use letters, digits, ., - and _")
    values = check_mapping(node, PART_FIELDS, f"{where}{name}.", ("size",))
    return ModelFile(name, values.get("size"), values["sha256"], placed(values["sources"], base))


def placed(sources: Iterable[str], base: Path) -> tuple[str, ...]:
    """Sources with relative paths made absolute from the folder of the registry."""
    return tuple(
        source if "://" in source else str(base / os.path.expanduser(source))  # noqa: PTH111 - never raises
        for source in sources
    )


def read_metric(node: Any, where: str) -> ReportedMetric:
    """Check and build one metric; `where` precedes the keys in messages."""
    metric = check_mapping(
        node, {"name": expect_text, "definition": expect_text, "values": expect_sequence}, where
    )
    fields = {
        "target": expect_text,
        "data": expect_text,
        "average": expect_text,
        "value": expect_number,
    }
    fields |= {"mixture": expect_number, "tracks": expect_whole}
    values = [check_mapping(value, fields, where, ("mixture",)) for value in metric["values"]]
    rows = tuple(ReportedValue(**{"mixture": None, **value}) for value in values)
    return ReportedMetric(metric["name"], metric["definition"], rows)


def expect_length(value: Any) -> int:
    """Check a file size in bytes."""
    if type(value) is not int or not 1 <= value <= MAX_FILE_BYTES:
        raise ValueError(f"bytes, from 1 to {MAX_FILE_BYTES}")
    return value


def expect_digest(value: Any) -> str:
    """Check a SHA-256 digest and convert it to lower case."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value.lower()):
        raise ValueError("64 hexadecimal digits")
    return value.lower()


def expect_digest_start(value: Any) -> str:
    """Check a SHA-256 digest, or at least its first 8 digits, and convert it to lower case."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{8,64}", value.lower()):
        raise ValueError("64 hexadecimal digits, or at least the first 8, in quotes")
    return value.lower()


def expect_sources(value: Any) -> tuple[str, ...]:
    """Check a list of addresses or paths.

    Addresses with a password are rejected, since sources are shown in messages and published.
    """
    found = expect_words(value)
    for source in found:
        scheme, mark, rest = source.partition("://")
        if mark and scheme not in SOURCE_SCHEMES:
            raise ValueError(f"paths, or addresses with {', '.join(SOURCE_SCHEMES)}")
        if mark and scheme != "hf" and "@" in rest.partition("/")[0]:
            raise ValueError("addresses without a password; put it into ~/.netrc")
    return found


ENTRY_FIELDS: dict[str, Callable[[Any], Any]] = {
    "targets": expect_words,
    "architecture": expect_text,
    "data": expect_text,
    "licence": expect_text,
    "metrics": expect_sequence,
    "description": expect_text,
}

FILE_FIELDS: dict[str, Callable[[Any], Any]] = {
    "size": expect_length,
    "sha256": expect_digest,
    "sources": expect_sources,
}

PART_FIELDS = FILE_FIELDS | {"sha256": expect_digest_start}
