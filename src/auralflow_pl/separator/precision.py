"""Number formats for autocast."""

from __future__ import annotations

import torch

from auralflow_pl.errors import InputError

PRECISION_TYPES = {  # by the names in configs/precision and those of Lightning's Trainer
    "fp32": torch.float32,
    "32-true": torch.float32,
    "bf16": torch.bfloat16,
    "bf16-mixed": torch.bfloat16,
    "fp16": torch.float16,
    "16-mixed": torch.float16,
}


def autocast_dtype(precision: str | torch.dtype | None) -> torch.dtype | None:
    """Dtype for `torch.autocast`; None for float32, which needs no autocast.

    Args:
        precision: `fp32`, `bf16`, `fp16`, a name of Lightning, a dtype, or None.

    Raises:
        InputError: an unknown name or dtype.
    """
    dtype = PRECISION_TYPES.get(precision, precision) if isinstance(precision, str) else precision
    if dtype not in (None, *PRECISION_TYPES.values()):
        raise InputError(f"precision={precision}: expected fp32, bf16 or fp16")
    return None if dtype == torch.float32 else dtype
