"""Number formats for autocast."""

from __future__ import annotations

import torch

from auralflow_pl.errors import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def number_format(precision: str | torch.dtype | None) -> torch.dtype | None:
    """What `Separator.precision` asks of autocast: None for float32, which needs none.

    Raises:
        InputError: another name or type.
    """
    dtype = PRECISIONS.get(precision, precision) if isinstance(precision, str) else precision
    if dtype not in (None, *PRECISIONS.values()):
        raise InputError(f"precision={precision}: expected {', '.join(PRECISIONS)}")
    return None if dtype == torch.float32 else dtype
