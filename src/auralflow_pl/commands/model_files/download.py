"""The command `download`: fetch a pretrained model."""

from __future__ import annotations

import shutil
from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import DownloadKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable
from auralflow_pl.pretrained.cache import fetch_model, stored_bytes
from auralflow_pl.pretrained.entries import RegistryEntry
from auralflow_pl.pretrained.registry import find_entry, read_registries
from auralflow_pl.system.files import file_sha256, in_megabytes
from auralflow_pl.system.staging import check_writable, staged_folder


def download(config: DictConfig) -> Path:
    """Fetch a model into the cache, and copy it to `save` if given; return the file.

    Raises:
        InputError: no registry has the model, no source provides it, or the copy cannot be
            written.
    """
    config = to_plain(validate(config, DownloadKeys))
    entry = find_entry(read_registries(config["registries"]), config["name"], config["target"])
    copy = save_path(config["save"], entry) if config["save"] is not None else None
    path = fetch_model(entry)
    if copy is not None:
        save_model(path, copy)
        path = copy
    print(printable(f"{path}: {entry.name}, {in_megabytes(stored_bytes(path))}, verified"))
    return path


def save_path(given: str, entry: RegistryEntry) -> Path:
    """Path of the archive for the key `save`: a `.zip` file, or the folder for it.

    Raises:
        InputError: the archive would replace a folder, or its folder cannot be written.
    """
    path = Path(given)
    path = path if path.suffix == ".zip" else path / f"{entry.name}.zip"
    if path.is_dir():
        raise InputError(f"save={given}: {path} is a folder; choose another name")
    if entry.in_parts:
        raise InputError(
            f"save={given}: {entry.name} is published as several files, and not in our format; "
            f"auralflow import-model {entry.name} output={path.parent} makes a folder of ours of it"
        )
    check_writable(path.parent)
    return path


def save_model(source: Path, path: Path) -> None:
    """Copy a model file or folder to an archive.

    Raises:
        InputError: the archive exists with other content.
    """
    from auralflow_pl.checkpoints.archive import write_archive  # needs torch

    with staged_folder(path.parent) as temporary:
        made = temporary / path.name
        if source.is_dir():
            write_archive(source, made)
        else:
            shutil.copyfile(source, made)
        if path.exists() and file_sha256(path) != file_sha256(made):
            raise InputError(f"save={path}: another file is there; remove it or choose a name")
