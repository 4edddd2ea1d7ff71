"""Read model files of any format without running code in them."""

from __future__ import annotations

from pathlib import Path

from auralflow_pl.checkpoints.archive import archive_names, read_archive, read_folder
from auralflow_pl.checkpoints.config_check import check_config, check_step
from auralflow_pl.checkpoints.contents import CONFIG_FILE, Checkpoint
from auralflow_pl.checkpoints.foreign.open_unmix import read_open_unmix
from auralflow_pl.checkpoints.foreign.spleeter import read_spleeter
from auralflow_pl.checkpoints.onnx_file import read_onnx
from auralflow_pl.checkpoints.trained import read_training
from auralflow_pl.checks.imports import with_current_arguments
from auralflow_pl.errors import InputError, printable


def read_exported(path: Path) -> Checkpoint | None:
    """Read an exported folder, archive or ONNX file; None if `path` is none of them.

    Raises:
        InputError: the exported model cannot be used.
    """
    if path.is_dir():
        return read_folder(path)
    if path.suffix == ".safetensors":
        raise InputError(f"weights without their {CONFIG_FILE}; pass the folder that holds both")
    if path.suffix == ".onnx":
        return read_onnx(path)
    return read_archive(path) if CONFIG_FILE in archive_names(path) else None


def load_checkpoint(path: str | Path, key: str = "ckpt") -> Checkpoint:
    """Read a training checkpoint or an exported model without running code in it.

    Args:
        path: checkpoint, exported folder, archive or ONNX file, a file or folder of open-unmix, or
            a folder with weights of Spleeter.
        key: name of the setting with the path, for messages.

    Raises:
        InputError: the file is missing, damaged, of another project or format version, or a
            pickle that could run code.
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError("no regular file but a pipe or device; expected a checkpoint")
        model = (
            read_open_unmix(path)
            or read_spleeter(path)
            or read_exported(path)
            or read_training(path)
        )
        check_config(model.config)
        check_step(model.step)
        config = with_current_arguments(model.config)
    except InputError as error:
        raise InputError(f"{key}={path}: {printable(str(error))}") from error
    return model._replace(path=path, config=config)
