"""Number formats for autocast."""

from __future__ import annotations

import torch

from auralflow_pl.errors import InputError

AUTOCAST_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_dtype(precision: str | torch.dtype | None) -> torch.dtype | None:
    """What `Separator.precision` asks of autocast: None for float32, which needs none.

    Raises:
        InputError: another name or type.
    """
    dtype = AUTOCAST_TYPES.get(precision, precision) if isinstance(precision, str) else precision
    if dtype not in (None, *AUTOCAST_TYPES.values()):
        raise InputError(f"precision={precision}: expected {', '.join(AUTOCAST_TYPES)}")
    return None if dtype == torch.float32 else dtype
