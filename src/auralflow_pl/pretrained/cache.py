"""From the name of a pretrained model to a verified file."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from auralflow_pl.errors import InputError, shown
from auralflow_pl.pretrained.download import NotFetchedError, WantedFile, fetch_file
from auralflow_pl.pretrained.locations import PACKAGED_REGISTRY, models_folder
from auralflow_pl.pretrained.registry import (
    NAME_PATTERN,
    NAME_PREFIX,
    RegistryEntry,
    find_entry,
    read_registries,
)
from auralflow_pl.system.files import file_sha256, free_bytes

log = logging.getLogger(__name__)

FOLDER_WEIGHTS = "model.safetensors"  # of a folder that is used where it is


def resolve_ckpt(ckpt: str | Path, registries: str | Sequence[str] = ()) -> Path:
    """The path that `ckpt` means: itself, or the file of a model for `pretrained:<name>`.

    Raises:
        InputError: no such model, or no source has it.
    """
    entry = registry_entry(str(ckpt), registries)
    return fetch_model(entry) if entry else Path(ckpt)


def locate(
    model: str | Path,
    target: str | Sequence[str] | None = None,
    registries: str | Sequence[str] = (),
) -> Path:
    """The path of a model that is given as a path, or by a name or architecture.

    A name stands for a path if there is one, unless a target is given.

    Raises:
        InputError: no such model, or no source has it.
    """
    named = isinstance(model, str) and NAME_PATTERN.fullmatch(model) and not Path(model).exists()
    if target is None and not named:
        return resolve_ckpt(model, registries)
    if not NAME_PATTERN.fullmatch(str(model)) and Path(model).exists():
        raise InputError(f"target={target}: chooses among models of registries; {model} is a path")
    entries = read_registries(registries)
    try:
        return fetch_model(find_entry(entries, str(model), target))
    except InputError as error:
        if target is None and model not in entries:
            raise InputError(f"ckpt={model}: no such file, nor a model: {error}") from None
        raise


def cached_path(entry: RegistryEntry) -> Path:
    """Where the file of an entry is, or will be; another file has another name."""
    return models_folder() / f"{entry.name}-{entry.sha256[:12]}.zip"


def local_folder(entry: RegistryEntry) -> Path | None:
    """The folder of a model that is used where it is, as that of the package is."""
    folders = (Path(source) for source in entry.sources if "://" not in source)
    return next((folder for folder in folders if folder.is_dir()), None)


def location(entry: RegistryEntry) -> str:
    """Where the model is, in one word."""
    if local_folder(entry):
        return "bundled" if entry.registry == PACKAGED_REGISTRY else "folder"
    return "cached" if cached_path(entry).is_file() else "remote"


def registry_entry(ckpt: str, registries: str | Sequence[str] = ()) -> RegistryEntry | None:
    """What a registry says of `pretrained:<name>`; None for a path."""
    return (
        find_entry(read_registries(registries), ckpt, None)
        if ckpt.startswith(NAME_PREFIX)
        else None
    )


def fetch_model(entry: RegistryEntry) -> Path:
    """The file, or folder, of an entry, fetched if it must be, and verified.

    Raises:
        InputError: no source has it; where it was looked for, and how to bring it.
    """
    if folder := local_folder(entry):
        if not matches_entry(folder / FOLDER_WEIGHTS, entry):
            raise InputError(
                f"{entry.name}: {folder} does not hold the {FOLDER_WEIGHTS} with SHA-256 "
                f"{entry.sha256}; export or copy it again"
            )
        return folder
    path = cached_path(entry)
    if matches_entry(path, entry):
        return path
    try:
        with locked_path(path):
            if not matches_entry(path, entry):  # another process may have been faster
                download_into_cache(entry, path)
    except OSError as error:
        raise InputError(f"{path}: {entry.name} is not kept: {error.strerror or error}") from error
    return path


def matches_entry(path: Path, entry: RegistryEntry) -> bool:
    """Whether a file is the one of an entry."""
    try:
        return path.stat().st_size == entry.size and file_sha256(path) == entry.sha256
    except OSError:
        return False


def download_into_cache(entry: RegistryEntry, path: Path) -> None:
    """Fetch the file of an entry; it appears under its name when it has been verified."""
    part = part_path(path)
    there = part.stat().st_size if part.is_file() else 0
    free = free_bytes(path)
    if free < entry.size - there:
        raise InputError(
            f"{path.parent}: {entry.name} needs {entry.size / 1e6:.1f} MB, {free / 1e6:.1f} MB "
            "are free; make room, or set AURALFLOW_CACHE to another folder"
        )
    spoilt = path.is_file()
    log.info("fetching %s, %.1f MB, into %s", entry.name, entry.size / 1e6, path.parent)
    try:
        fetch_file(entry.sources, WantedFile(entry.name, entry.size, entry.sha256), part)
    except NotFetchedError as error:
        kept = part.stat().st_size if part.is_file() else 0
        found = "a file with other bytes" if spoilt else "nothing"
        kept_note = f" ({kept} of {entry.size} bytes are kept for the next attempt)" if kept else ""
        raise InputError(
            f"{entry.name}: not fetched: {error}{kept_note}; {found} at {path}; to bring it by "
            f"hand, copy the file with {entry.size} bytes and SHA-256 {entry.sha256} to that path"
        ) from error
    part.replace(path)


def part_path(path: Path) -> Path:
    """Where a file is made."""
    return path.with_name(f"{path.name}.part")


@contextlib.contextmanager
def locked_path(path: Path) -> Iterator[None]:
    """Only one process at a time is in the block for a path; the others wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=1)
    except Timeout:
        log.info("another process fetches %s; waiting for it", path.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def cached_files() -> list[Path]:
    """All models in the cache."""
    return sorted(models_folder().glob("*.zip"))


def remove_cached(name: str) -> list[Path]:
    """Remove a model from the cache, whatever registry it came from; returns its files.

    Raises:
        InputError: it is not there.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise InputError(f"remove={shown(name)}: not a name; `auralflow models` lists them")
    pattern = re.compile(rf"{name}-[0-9a-f]{{12}}\.zip(\.part)?")
    folder = models_folder()
    files = [p for p in sorted(folder.glob("*.zip*")) if pattern.fullmatch(p.name)]
    if not files:
        raise InputError(f"remove={name}: not in the cache, {folder}; nothing to remove")
    for file in files:
        with locked_path(file.with_name(file.name.removesuffix(".part"))):
            file.unlink(missing_ok=True)
    return files
