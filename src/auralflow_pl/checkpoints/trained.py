"""Read training checkpoints with `weights_only=True`."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auralflow_pl.checkpoints.adapted import merged
from auralflow_pl.checkpoints.contents import Checkpoint
from auralflow_pl.errors import InputError, shown
from auralflow_pl.system import files

CHECKPOINT_KEY = "auralflow_pl"  # entry of this project in a Lightning checkpoint

DATA_KEY = "StemDataModule"  # entry of Lightning with the state of the loader

CHECKPOINT_FORMAT = 1

NETWORK_PREFIX = "separator.network."  # prefix of the network's weights in the state dict


def read_training(path: Path) -> Checkpoint:
    """Read a checkpoint written by a training.

    Raises:
        InputError: the file is missing, damaged, of another project or format version, or could
            run code.
    """
    if not path.is_file():
        raise InputError("no such file; expected a checkpoint of train.py")
    content = read_tensors_only(path)
    ours = content.get(CHECKPOINT_KEY) if isinstance(content, dict) else None
    if not isinstance(ours, dict) or not isinstance(content.get("state_dict"), dict):
        raise InputError("a checkpoint of another project; expected one of train.py")
    if ours.get("format") != CHECKPOINT_FORMAT:
        raise InputError(
            f"format {shown(ours.get('format'))}, this version reads format {CHECKPOINT_FORMAT}"
        )
    if not isinstance(ours.get("config"), dict):
        raise InputError("holds no configuration; expected a checkpoint of train.py")
    loading = content.get(DATA_KEY)
    return Checkpoint(
        ours["config"],
        network_weights(content["state_dict"]),
        content.get("global_step", 0),
        averaged="current_model_state" in content,
        batches=loading.get("taken", 0) if isinstance(loading, dict) else 0,
    )


def read_tensors_only(path: Path, before_zip: bool = False) -> Any:
    """Content of a file of `torch.save`, memory-mapped where possible.

    Args:
        path: the file.
        before_zip: also read the format of torch before 1.6, which is no zip archive.

    Raises:
        InputError: the file is damaged, or holds other than tensors and plain values.
    """
    zipped = zipfile.is_zipfile(path)
    try:
        if not (zipped or before_zip):
            raise EOFError
        return torch.load(
            path,
            map_location="cpu",
            weights_only=True,
            mmap=zipped and not files.KEEPS_OPEN_FILES,
        )
    except pickle.UnpicklingError as error:
        raise InputError(
            "not loaded: it is damaged or holds Python objects that could run code; expected a "
            "checkpoint, which holds tensors and plain values only"
        ) from error
    except Exception as error:  # damaged pickles raise exceptions of many types
        raise InputError("damaged or not a checkpoint; copy or train it again") from error


def network_weights(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Weights of the network in the state dict of a training task, as an ordinary network has them.

    Raises:
        InputError: a name is not a string, a weight is not a tensor, or a low-rank change does not
            fit its weight.
    """
    weights = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise InputError(f"state_dict: {shown(name)} is no name of a tensor; train it again")
        if name.startswith(NETWORK_PREFIX):
            if not isinstance(value, Tensor):
                raise InputError(f"state_dict: {shown(name)} is no tensor; train it again")
            weights[name.removeprefix(NETWORK_PREFIX)] = value
    return merged(weights)
