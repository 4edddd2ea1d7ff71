"""What a checkpoint of a training holds, and reading it without running anything that it says."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch

from auralflow_pl.errors import InputError
from auralflow_pl.sharing import Checkpoint, read_shared

KEY = "auralflow_pl"  # our entry in a Lightning checkpoint
FORMAT = 1
WEIGHTS = "separator.network."  # prefix of the network's weights in the state dict


def load_checkpoint(path: str | Path, key: str = "ckpt") -> Checkpoint:
    """Read a checkpoint of this project, or what export.py made of it; code in it is never run.

    Args:
        path: of the checkpoint, of an exported folder, archive or ONNX file.
        key: under which the user gave it, for messages.

    Raises:
        InputError: missing, damaged, of another project or format, or a pickle with code in it.
    """
    path = Path(path)
    try:
        if model := read_shared(path):
            return model
    except InputError as error:
        raise InputError(f"{key}={path}: {error}") from error
    if not path.is_file():
        raise InputError(f"{key}={path}: no such file; expected a checkpoint of train.py")
    try:
        if not zipfile.is_zipfile(path):
            raise EOFError
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{key}={path}: not loaded: it is damaged or holds Python objects that could run code; "
            "expected a checkpoint of train.py, which holds tensors and plain values only"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(
            f"{key}={path}: damaged or not a checkpoint; copy or train it again"
        ) from error
    ours = content.get(KEY) if isinstance(content, dict) else None
    if not isinstance(ours, dict) or not isinstance(content.get("state_dict"), dict):
        raise InputError(f"{key}={path}: a checkpoint of another project; expected one of train.py")
    if ours.get("format") != FORMAT:
        raise InputError(
            f"{key}={path}: format {ours.get('format')}, this version reads format {FORMAT}"
        )
    weights = {
        name.removeprefix(WEIGHTS): value
        for name, value in content["state_dict"].items()
        if name.startswith(WEIGHTS)
    }
    step, averaged = content.get("global_step", 0), "current_model_state" in content
    return Checkpoint(ours["config"], weights, step, averaged)
