"""Low-rank changes of weights (LoRA; Hu et al., 2022), for layers of any kind.

An adapted weight is a parametrisation of torch: its layer computes with the sum of the weight as
it was and a product of two small matrices. The state dict holds, in place of `<layer>.weight`,

    <layer>.parametrizations.weight.original    the weight as it was
    <layer>.parametrizations.weight.0.up        (rows, rank)
    <layer>.parametrizations.weight.0.down      (rank, columns)
    <layer>.parametrizations.weight.0.scale     ()
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

ADAPTED_NAME = re.compile(r"parametrizations\.(\w+)\.(?:original$|0(\.(?:up|down|scale))$)")


class LowRankChange(nn.Module):
    """Adds `scale * up @ down` to a weight, whose axes but the first count as columns.

    It begins as no change: `up` is 0. `down` is drawn as torch draws the weights of a linear layer.

    Args:
        weight: the weight, with at least two axes.
        rank: rank of the change; at most the smaller side of the weight is used.
        scale: factor of the product.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        self.down = nn.Parameter(weight.new_empty(rank, columns))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.register_buffer("scale", weight.new_tensor(scale))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight, in the number format of the weight also under autocast."""
        kind = weight.device.type
        if not torch.amp.is_autocast_available(kind):  # the meta device
            return changed(weight, self.up, self.down, self.scale)
        with torch.autocast(kind, enabled=False):
            return changed(weight, self.up, self.down, self.scale)


def changed(weight: Tensor, up: Tensor, down: Tensor, scale: Tensor) -> Tensor:
    """A weight `(rows, ...)` plus `scale * up @ down`, `(rows, rank)` and `(rank, columns)`."""
    return weight + (scale * (up @ down)).reshape(weight.shape)


def adapt(layer: nn.Module, name: str, rank: int, scale: float) -> None:
    """Add a low-rank change to the weight `name` of a layer."""
    register_parametrization(layer, name, LowRankChange(getattr(layer, name), rank, scale))
    if isinstance(layer, nn.RNNBase):  # it computes with a list of its weights, made once
        layer.__dict__.pop("_flat_weights", None)
        type(layer)._flat_weights = property(flat_weights, keep_weights)


def flat_weights(layer: nn.RNNBase) -> list[Tensor]:
    """Weights of a recurrent layer as they are now, in the order in which it computes with them."""
    return [getattr(layer, name) for name in layer._flat_weights_names]


def keep_weights(layer: nn.RNNBase, weights: list[Tensor]) -> None:
    """Setter of `flat_weights`, for torch; they follow from the weights."""


def user_name(name: str) -> str:
    """Name of a weight, or of a part of its change, as it would be without parametrisation.

    `conv.weight` for the weight as it was, `conv.weight.up` for a part of the change.
    """
    return ADAPTED_NAME.sub(r"\1\2", name)


def without_changes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state dict that the network had before it was adapted, as named then."""
    return {
        user_name(name): value
        for name, value in state.items()
        if not ((found := ADAPTED_NAME.search(name)) and found[2])
    }
