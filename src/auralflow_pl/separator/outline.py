"""Build networks on the meta device, with the shapes of their weights but no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAW_FUNCTIONS = (
    "normal_",
    "uniform_",
    "trunc_normal_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "orthogonal_",
)


@contextmanager
def on_meta_device() -> Iterator[None]:
    """Create tensors of the block on the meta device, with shape and dtype but no values."""
    with torch.device("meta"), SkipInit():
        yield


class SkipInit(TorchFunctionMode):
    """Skip random initialisation, for which torch would load its compiler on the meta device."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`; for an initialisation, return its tensor unchanged instead."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in DRAW_FUNCTIONS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
