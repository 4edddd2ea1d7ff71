"""Checkpoints on disk: complete under their name, or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from auralflow_pl.errors import InputError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lets Lightning write its checkpoints with `save_atomically`."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ARG002 - Lightning's signature
    ) -> None:
        """Write a checkpoint."""
        save_atomically(checkpoint, Path(path))


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write beside the file, then rename; whatever happens, the former file stays.

    Raises:
        InputError: the folder cannot be written or is full; the former file is as it was.
    """
    part = path.with_name(f"{path.name}.part")
    needed = sum(t.numel() * t.element_size() for t in tensors_in(content))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch wraps errors of the file in its own
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        free = shutil.disk_usage(next(p for p in path.absolute().parents if p.exists())).free
        raise InputError(
            f"{path.parent}: {path.name} not written: {failure_cause(error)}; "
            f"{needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free; make room, then go "
            "on with resume=auto (the checkpoint before is unharmed)"
        ) from error


def failure_cause(error: BaseException) -> str:
    """The words of the system for the first fault of a chain."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return getattr(error, "strerror", None) or " ".join(str(error).split())


def tensors_in(node: Any) -> Iterator[Tensor]:
    """All tensors in nested containers."""
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from tensors_in(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from tensors_in(value)
