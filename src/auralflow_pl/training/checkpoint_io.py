"""Atomic writing of checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from auralflow_pl.errors import InputError, one_line
from auralflow_pl.system.files import free_bytes, write_whole


class AtomicCheckpointIO(TorchCheckpointIO):
    """Plugin that makes Lightning write its checkpoints with `save_atomically`."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ARG002 - Lightning's signature
    ) -> None:
        """Write a checkpoint, see `save_atomically`."""
        save_atomically(checkpoint, Path(path))


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint to a temporary file, then rename it to `path`.

    Raises:
        InputError: the folder cannot be written or is full; an existing file is unchanged.
    """
    needed = sum(t.numel() * t.element_size() for t in tensors_in(content))
    try:
        write_whole(path, partial(torch.save, content), sync=True)
    except (OSError, RuntimeError) as error:  # torch wraps OSError in RuntimeError
        raise InputError(
            f"{path.parent}: {path.name} not written: {failure_cause(error)}; "
            f"{needed / 1e6:.1f} MB are needed, {free_bytes(path) / 1e6:.1f} MB are free; make "
            "room, then go on with resume=auto (the checkpoint before is unharmed)"
        ) from error


def failure_cause(error: BaseException) -> str:
    """Text of the first exception in a chain; for an OSError, that of the system."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return getattr(error, "strerror", None) or one_line(error)


def tensors_in(node: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested containers."""
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from tensors_in(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from tensors_in(value)
