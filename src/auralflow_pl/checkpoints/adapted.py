"""Weights of a network that was trained with low-rank changes (`lora`), as an ordinary network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from auralflow_pl.checkpoints.tensors import check_tensor_values
from auralflow_pl.errors import InputError, shown
from auralflow_pl.models.low_rank import changed, user_name


def merged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in which every low-rank change is added to its weight; others stay as they are.

    Raises:
        InputError: a part of a change is missing or damaged, or does not fit its weight.
    """
    weights = {user_name(name): value for name, value in state.items()}
    for name in [user_name(name) for name in state if name.endswith(".original")]:
        if f"{name}.up" not in weights:
            continue  # a parametrisation of another kind
        parts = [name, *(f"{name}.{part}" for part in ("up", "down", "scale"))]
        if missing := [part for part in parts if part not in weights]:
            raise InputError(f"state_dict: {shown(missing[0])} is missing; train it again")
        weight, up, down, scale = (weights.pop(part) for part in parts)
        for part, value in zip(parts, (weight, up, down, scale), strict=True):
            check_tensor_values(part, value, torch.float32, learned=True)
        if (
            weight.dim() < 2
            or up.dim() != 2
            or up.shape[0] != weight.shape[0]
            or down.shape != (up.shape[1], weight[0].numel())
            or scale.dim() != 0
        ):
            raise InputError(f"state_dict: the parts of {shown(name)} do not fit; train it again")
        weights[name] = changed(weight, up, down, scale)
    return weights
