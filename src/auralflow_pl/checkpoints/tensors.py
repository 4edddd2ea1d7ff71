"""Checks of single tensors in model files."""

from __future__ import annotations

import torch
from torch import Tensor

from auralflow_pl.errors import InputError


def check_tensor_values(name: str, value: Tensor, expected: torch.dtype, learned: bool) -> None:
    """Raise InputError unless a tensor has complete data, a compatible dtype and valid values.

    NaN is always rejected. Infinite values are rejected in parameters only, since buffers of
    custom networks, such as attention masks, may hold them.

    Args:
        name: for messages.
        value: the tensor.
        expected: dtype in the network; both must be real, complex or integer.
        learned: the tensor is a parameter, not a buffer.
    """
    if value.untyped_storage().nbytes() < value.nbytes:
        raise InputError(f"{name} holds less than its shape {tuple(value.shape)}; copy it again")
    kinds = [(kind.is_floating_point, kind.is_complex) for kind in (value.dtype, expected)]
    if kinds[0] != kinds[1]:
        found, wanted = (str(kind).removeprefix("torch.") for kind in (value.dtype, expected))
        raise InputError(f"{name} holds {found}, expected {wanted}; train or export it again")
    if value.is_floating_point() and value.numel():
        extremes = torch.stack(value.aminmax())
        if extremes.isnan().any() or (learned and extremes.isinf().any()):
            raise InputError(
                f"{name} has NaN or infinite values: the training failed; use another checkpoint"
            )
