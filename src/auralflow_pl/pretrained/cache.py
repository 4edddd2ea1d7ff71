"""Turn the name of a pretrained model into a verified local file."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from auralflow_pl.errors import InputError, os_reason, shown
from auralflow_pl.pretrained.download import NotFetchedError, WantedFile, fetch_file
from auralflow_pl.pretrained.entries import NAME_PATTERN, ModelFile, RegistryEntry
from auralflow_pl.pretrained.locations import (
    PACKAGED_REGISTRY,
    WEIGHTS_FILE,
    installed_registries,
    models_folder,
)
from auralflow_pl.pretrained.registry import (
    NAME_PREFIX,
    find_entry,
    read_registries,
    read_registry,
)
from auralflow_pl.pretrained.sources import is_on_this_machine
from auralflow_pl.system.files import file_sha256, free_bytes

log = logging.getLogger(__name__)


def resolve_ckpt(ckpt: str | Path, registries: str | Sequence[str] = (), key: str = "ckpt") -> Path:
    """Path of a model given as a path, a run folder, or `pretrained:<name>`, which is fetched.

    Messages name it by its `key`.

    Raises:
        InputError: no registry has the model, no source provides it, or a run folder has no
            checkpoint.
    """
    entry = registry_entry(str(ckpt), registries)
    return fetch_model(entry) if entry else run_checkpoint(Path(ckpt), key)


def run_checkpoint(path: Path, key: str = "ckpt") -> Path:
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
        f"{key}={path}: no best.ckpt or last.ckpt in {folder}; give the path of a checkpoint"
    )


def locate(
    model: str | Path,
    target: str | Sequence[str] | None = None,
    registries: str | Sequence[str] = (),
    key: str = "ckpt",
) -> Path:
    """Path of a model given as a path, a registry name or an architecture.

    Without `target`, an existing path takes precedence over a registry name. Messages name it by
    its `key`.

    Raises:
        InputError: no registry has the model, or no source provides it.
    """
    named = isinstance(model, str) and NAME_PATTERN.fullmatch(model) and not Path(model).exists()
    if target is None and not named:
        return resolve_ckpt(model, registries, key)
    if not NAME_PATTERN.fullmatch(str(model)) and Path(model).exists():
        raise InputError(f"target={target}: chooses among models of registries; {model} is a path")
    entries = read_registries(registries)
    try:
        return fetch_model(find_entry(entries, str(model), target))
    except InputError as error:
        if target is None and model not in entries:
            raise InputError(f"{key}={model}: no such file, nor a model: {error}") from None
        raise


def cached_path(entry: RegistryEntry) -> Path:
    """Path of an entry in the cache, a file or a folder of several; it has digits of the digest."""
    if not entry.in_parts:
        return models_folder() / entry.files[0].name
    return models_folder() / f"{entry.name}-{entry.sha256[:12]}"


def cached_file(entry: RegistryEntry, file: ModelFile) -> Path:
    """Path of a file of an entry in the cache."""
    return cached_path(entry) / file.name if entry.in_parts else cached_path(entry)


def local_folder(entry: RegistryEntry) -> Path | None:
    """First source of an entry that is an existing folder, used in place; None: no such source."""
    if entry.in_parts:
        return None
    folders = (Path(source) for source in entry.files[0].sources if "://" not in source)
    return next((folder for folder in folders if folder.is_dir()), None)


def location(entry: RegistryEntry) -> str:
    """Location of a model: `bundled`, `folder`, `cached`, `local` (in its sources) or `remote`."""
    if local_folder(entry):
        return "bundled" if entry.registry == PACKAGED_REGISTRY else "folder"
    if all(cached_file(entry, file).is_file() for file in entry.files):
        return "cached"
    local = all(any(map(is_on_this_machine, file.sources)) for file in entry.files)
    return "local" if local else "remote"


def best_present(registries: str | Sequence[str] = ()) -> RegistryEntry:
    """The first model of installed packages, or else of this package, that needs no network.

    Their registries list the best models first; that of this package ends with the one in it. An
    entry of the same name in another registry is taken in its place.
    """
    entries = read_registries(registries)
    files = (*installed_registries(), PACKAGED_REGISTRY)
    ranked = (entries[entry.name] for file in files for entry in read_registry(file))
    return next(entry for entry in ranked if location(entry) != "remote")


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
        if not matches_file(folder / WEIGHTS_FILE, entry.files[0]):
            raise InputError(
                f"{entry.name}: {folder} does not hold the {WEIGHTS_FILE} with SHA-256 "
                f"{entry.sha256}; export or copy it again"
            )
        return folder
    path = cached_path(entry)
    try:
        if missing_files(entry):
            with locked_path(path):
                for file in missing_files(entry):  # fewer if another process fetched some
                    download_into_cache(entry, file)
    except OSError as error:
        raise InputError(f"{path}: {entry.name} is not kept: {os_reason(error)}") from error
    return path


def missing_files(entry: RegistryEntry) -> list[ModelFile]:
    """Files of an entry that are not in the cache, or there with other bytes."""
    return [file for file in entry.files if not matches_file(cached_file(entry, file), file)]


def matches_file(path: Path, file: ModelFile) -> bool:
    """Return True if a file has the size and SHA-256 that an entry states."""
    try:
        if file.size not in (None, path.stat().st_size):
            return False
        return file_sha256(path).startswith(file.sha256)
    except OSError:
        return False


def download_into_cache(entry: RegistryEntry, file: ModelFile) -> None:
    """Download a file of an entry to a `.part` file and rename it once it is verified."""
    path = cached_file(entry, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    label = f"{entry.name}/{file.name}" if entry.in_parts else entry.name
    part = part_path(path)
    there = part.stat().st_size if part.is_file() else 0
    size, free = file.size or 0, free_bytes(path)
    if free < size - there:
        raise InputError(
            f"{path.parent}: {label} needs {size / 1e6:.1f} MB, {free / 1e6:.1f} MB "
            "are free; make room, or set AURALFLOW_CACHE to another folder"
        )
    spoilt = path.is_file()
    log.info("fetching %s%s, into %s", label, f", {size / 1e6:.1f} MB" if size else "", path.parent)
    try:
        fetch_file(file.sources, WantedFile(label, file.size, file.sha256), part)
    except NotFetchedError as error:
        kept = part.stat().st_size if part.is_file() else 0
        found = "a file with other bytes" if spoilt else "nothing"
        whole = f" of {size}" if size else ""
        kept_note = f" ({kept}{whole} bytes are kept for the next attempt)" if kept else ""
        wanted = f"with {size} bytes and SHA-256" if size else "whose SHA-256 begins with"
        raise InputError(
            f"{label}: not fetched: {error}{kept_note}; {found} at {path}; to bring it by "
            f"hand, copy the file {wanted} {file.sha256} to that path"
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
    """Sorted paths of all models in the cache: archives, and folders of several files."""
    folder = models_folder()
    return sorted([*folder.glob("*.zip"), *(path for path in folder.glob("*/") if path.is_dir())])


def stored_bytes(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def remove_cached(name: str) -> list[Path]:
    """Remove a model from the cache, whichever registry it came from.

    Returns:
        the removed files.

    Raises:
        InputError: `name` is not a valid name, or the cache has no such model.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise InputError(f"remove={shown(name)}: not a name; `auralflow models` lists them")
    pattern = re.compile(rf"{name}-[0-9a-f]{{12}}(\.zip(\.part)?)?")
    folder = models_folder()
    files = [p for p in sorted(folder.glob("*")) if pattern.fullmatch(p.name)]
    if not files:
        raise InputError(f"remove={name}: not in the cache, {folder}; nothing to remove")
    for file in files:
        with locked_path(file.with_name(file.name.removesuffix(".part"))):
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)
    return files
