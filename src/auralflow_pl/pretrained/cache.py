"""Turn the name of a pretrained model into a verified local file."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from auralflow_pl.errors import InputError, os_reason, shown
from auralflow_pl.pretrained.download import NotFetchedError, WantedFile, fetch_file
from auralflow_pl.pretrained.locations import PACKAGED_REGISTRY, WEIGHTS_FILE, models_folder
from auralflow_pl.pretrained.registry import (
    NAME_PATTERN,
    NAME_PREFIX,
    RegistryEntry,
    find_entry,
    read_registries,
)
from auralflow_pl.system.files import file_sha256, free_bytes

log = logging.getLogger(__name__)


def resolve_ckpt(ckpt: str | Path, registries: str | Sequence[str] = ()) -> Path:
    """Path for the key `ckpt`: a path, a run folder, or `pretrained:<name>`, which is fetched.

    Raises:
        InputError: no registry has the model, no source provides it, or a run folder has no
            checkpoint.
    """
    entry = registry_entry(str(ckpt), registries)
    return fetch_model(entry) if entry else run_checkpoint(Path(ckpt))


def run_checkpoint(path: Path) -> Path:
    """Best checkpoint of a run folder or of its `checkpoints`, or else the last one.

    Other paths are returned unchanged.

    Raises:
        InputError: a run folder has neither `best.ckpt` nor `last.ckpt`.
    """
    named = path.name == "checkpoints"
    folder = path if named else path / "checkpoints"
    if not folder.is_dir() or (path / WEIGHTS_FILE).exists():
        return path
    for name in ("best.ckpt", "last.ckpt"):
        if (folder / name).is_file():
            return folder / name
    if named:  # a folder of models
        return path
    raise InputError(
        f"ckpt={path}: no best.ckpt or last.ckpt in {folder}; give the path of a checkpoint"
    )


def locate(
    model: str | Path,
    target: str | Sequence[str] | None = None,
    registries: str | Sequence[str] = (),
) -> Path:
    """Path of a model given as a path, a registry name or an architecture.

    Without `target`, an existing path takes precedence over a registry name.

    Raises:
        InputError: no registry has the model, or no source provides it.
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
    """Path of an entry's file in the cache; its name includes the start of the SHA-256."""
    return models_folder() / f"{entry.name}-{entry.sha256[:12]}.zip"


def local_folder(entry: RegistryEntry) -> Path | None:
    """First source of an entry that is an existing folder, used in place; None: no such source."""
    folders = (Path(source) for source in entry.sources if "://" not in source)
    return next((folder for folder in folders if folder.is_dir()), None)


def location(entry: RegistryEntry) -> str:
    """Location of a model: `bundled`, `folder`, `cached` or `remote`."""
    if local_folder(entry):
        return "bundled" if entry.registry == PACKAGED_REGISTRY else "folder"
    return "cached" if cached_path(entry).is_file() else "remote"


def registry_entry(ckpt: str, registries: str | Sequence[str] = ()) -> RegistryEntry | None:
    """Registry entry for `pretrained:<name>`; None for a path."""
    return (
        find_entry(read_registries(registries), ckpt, None)
        if ckpt.startswith(NAME_PREFIX)
        else None
    )


def fetch_model(entry: RegistryEntry) -> Path:
    """Return the verified file or folder of an entry; download it if it is missing.

    Raises:
        InputError: no source provides the file. The message lists the failed sources and says
            where to copy the file by hand.
    """
    if folder := local_folder(entry):
        if not matches_entry(folder / WEIGHTS_FILE, entry):
            raise InputError(
                f"{entry.name}: {folder} does not hold the {WEIGHTS_FILE} with SHA-256 "
                f"{entry.sha256}; export or copy it again"
            )
        return folder
    path = cached_path(entry)
    if matches_entry(path, entry):
        return path
    try:
        with locked_path(path):
            if not matches_entry(path, entry):  # another process may have fetched it
                download_into_cache(entry, path)
    except OSError as error:
        raise InputError(f"{path}: {entry.name} is not kept: {os_reason(error)}") from error
    return path


def matches_entry(path: Path, entry: RegistryEntry) -> bool:
    """Return True if a file has the size and SHA-256 of an entry."""
    try:
        return path.stat().st_size == entry.size and file_sha256(path) == entry.sha256
    except OSError:
        return False


def download_into_cache(entry: RegistryEntry, path: Path) -> None:
    """Download the file of an entry to a `.part` file and rename it once it is verified."""
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
    """Path of the partial download of `path`."""
    return path.with_name(f"{path.name}.part")


@contextlib.contextmanager
def locked_path(path: Path) -> Iterator[None]:
    """Hold a lock file for `path`, which only one process can hold at a time."""
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
    """Sorted paths of all models in the cache."""
    return sorted(models_folder().glob("*.zip"))


def remove_cached(name: str) -> list[Path]:
    """Remove a model from the cache, whichever registry it came from.

    Returns:
        the removed files.

    Raises:
        InputError: `name` is not a valid name, or the cache has no such model.
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
