"""Exported models as a folder or one archive: `model.safetensors`, `config.json`, `README.md`."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from auralflow_pl.checkpoints.contents import (
    CARD_FILE,
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    MAX_MODEL_BYTES,
    Checkpoint,
    check_weights_digest,
    checkpoint_of,
    parse_description,
    read_at_most,
)
from auralflow_pl.checkpoints.quantized import to_float
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.pretrained.locations import WEIGHTS_FILE
from auralflow_pl.system import files

LARGEST_CARD = 2**17

DAMAGED_ARCHIVE = (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError, RuntimeError)


def write_weights(
    folder: Path, description: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> str:
    """Write `model.safetensors` and `config.json`; return the SHA-256 of `model.safetensors`."""
    from safetensors.torch import save

    content = save({name: value.contiguous() for name, value in weights.items()})
    (folder / WEIGHTS_FILE).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    text = json.dumps({**description, "sha256": digest}, indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    return digest


def write_archive(folder: Path, path: Path) -> None:
    """Write the files of a folder into an uncompressed zip archive without modification times."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            with (
                file.open("rb") as source,
                archive.open(zipfile.ZipInfo(file.name), "w", force_zip64=True) as target,
            ):
                shutil.copyfileobj(source, target)


def archive_names(path: Path) -> list[str]:
    """Names of the entries of a zip archive; empty if the file is not a zip archive.

    Raises:
        InputError: the file is TorchScript, or its entries are compressed or claim more bytes
            than the archive has. Checkpoints and exports never do.
    """
    try:
        if not path.is_file():
            return []
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
    if any(entry.filename.split("/")[1:] == ["constants.pkl"] for entry in entries):
        raise InputError(
            "a TorchScript file, which runs the code in it when it is loaded; pass the checkpoint, "
            "or what export.py format=safetensors or format=onnx makes of it"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
        sum(entry.file_size for entry in entries) > path.stat().st_size
    ):
        raise InputError("damaged or packed again: its entries are compressed; expected them as is")
    return [entry.filename for entry in entries]


def read_folder(folder: Path) -> Checkpoint:
    """Read an exported folder; its weights are memory-mapped.

    Raises:
        InputError: a file is missing, too large, damaged, or not the described one.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(
                f"no such file in this folder: {name}, and no checkpoint; expected a checkpoint, "
                "the folder of a training that has written one, or an exported model"
            )
    with (folder / CONFIG_FILE).open("rb") as file:
        description = parse_description(read_at_most(file, MAX_CONFIG_BYTES, CONFIG_FILE))
    path = folder / WEIGHTS_FILE
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise InputError(f"{WEIGHTS_FILE} is larger than {MAX_MODEL_BYTES / 1e9:.1f} GB")
    with path.open("rb") as file:
        check_weights_digest(description, hashlib.file_digest(file, "sha256").hexdigest())
    return checkpoint_of(description, weights=to_float(read_tensors(path)))


def read_archive(path: Path) -> Checkpoint:
    """Read an exported archive into memory, without extracting files to disk.

    Raises:
        InputError: a file is missing, too large, damaged, or not the described one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open(CONFIG_FILE) as file:
                description = parse_description(read_at_most(file, MAX_CONFIG_BYTES, CONFIG_FILE))
            with archive.open(WEIGHTS_FILE) as file:
                content = read_at_most(file, MAX_MODEL_BYTES, WEIGHTS_FILE)
        check_weights_digest(description, hashlib.sha256(content).hexdigest())
        return checkpoint_of(description, weights=to_float(load(content)))
    except InputError:
        raise
    except (*DAMAGED_ARCHIVE, SafetensorError) as error:
        cause = one_line(error)
        raise InputError(f"damaged archive: {cause}; copy or export it again") from error


def read_card(path: Path) -> str | None:
    """Model card of an exported folder or archive; None if missing, damaged or over 128 KiB."""
    try:
        if (path / CARD_FILE).is_file():
            with (path / CARD_FILE).open("rb") as file:
                content = read_at_most(file, LARGEST_CARD, CARD_FILE)
        else:
            with zipfile.ZipFile(path) as archive, archive.open(CARD_FILE) as file:
                content = read_at_most(file, LARGEST_CARD, CARD_FILE)
        return content.decode()
    except (InputError, ValueError, *DAMAGED_ARCHIVE):
        return None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, memory-mapped where a mapped file can still be replaced.

    safetensors checks header against file size.

    Raises:
        InputError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load, load_file

    try:
        return load(path.read_bytes()) if files.KEEPS_OPEN_FILES else load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        cause = one_line(error)
        raise InputError(f"{WEIGHTS_FILE}: damaged: {cause}; copy or export it again") from error
